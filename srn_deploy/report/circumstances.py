"""The environment of a measurement in words, and what to be careful about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from srn_deploy.benchmark.environment import Environment, differences

BUSY_LOAD = 0.5
"""Times with two threads show it when other programs take half a core."""


def environment_line(environment: Environment) -> str:
    """The whole environment as one sentence."""
    memory = "memory unknown" if environment.memory_gib is None else f"{environment.memory_gib} GiB"
    load = "" if environment.load_1min is None else f", load {environment.load_1min:g} before the start"
    return (f"Environment: {environment.date}; {environment.cpu}, {environment.threads} threads on "
            f"{environment.logical_cores} logical cores, {memory}{load}; GPU: {environment.gpu}; {environment.system}; "
            f"Python {environment.python}, {versions_in_words(environment.versions)}.")


def versions_in_words(versions: Mapping[str, str]) -> str:
    """Libraries with their versions."""
    return ", ".join(f"{library} {version}" for library, version in versions.items())


def mixed_environments(environments: Sequence[Environment]) -> list[str]:
    """One sentence where records of different machines or versions stand side by side; else none."""
    fields = {difference.partition(":")[0] for one in environments for difference in differences(environments[0], one)}
    if not fields:
        return []
    sentence = (f"These records were not measured in one environment; they differ in {', '.join(sorted(fields))}. "
                "Compare figures of one record, or records of one environment.")
    return [sentence]


def busy(environment: Environment) -> list[str]:
    """One sentence where other programs were running before times were taken; else none."""
    load = environment.load_1min
    if load is None or load <= BUSY_LOAD:
        return []
    return [f"Other programs were running (load {load:g} before the start): measure again without them."]
