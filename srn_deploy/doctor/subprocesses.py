"""Probes of libraries that may crash or hang: each runs in its own subprocess, several at a time."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from srn_deploy.errors import OptionError
from srn_deploy.system.bounded_process import ending, environment_with_same_modules, not_within
from srn_deploy.system.documents import convert
from srn_deploy.system.threads import usable_cores

MOST_AT_ONCE = 8
"""A subprocess may need some hundred MB while it loads a large library."""

_PROBE_MODULE = "srn_deploy.doctor.probe"

_LONGEST_TEXT = 300
"""Characters of a library's error message that are kept."""

Report = TypeVar("Report")


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """What one probe reported, or how it failed."""

    reported: Mapping[str, Any] = field(default_factory=dict)
    """What the probe returned, as a mapping; empty where it failed."""
    error: str = ""
    """Class of the exception that ended it."""
    text: str = ""
    """What went wrong, in one line; empty where the probe succeeded."""
    remedy: str = ""
    """Remedy of the exception, where it is a SrnDeployError."""
    missing_module: str = ""
    """The module that a ModuleNotFoundError names."""
    crashed: bool = False
    """It crashed or hung, as would every program that does the same."""

    def read(self, kind: type[Report]) -> Report:
        """What the probe reported, as its class in `probe_reports`; only for a probe that succeeded."""
        return convert(self.reported, kind, partial(OptionError, remedy="Install srn-deploy again."))

    @property
    def ok(self) -> bool:
        """Whether the probe succeeded."""
        return not self.text


def run_probes(probes: Mapping[str, Sequence[str]], timeout_s: float) -> dict[str, ProbeResult]:
    """Run every probe in a subprocess of its own.

    probes: for each name, a function of `probe` and its arguments. Returns the result for each name; failures are
    results too, never exceptions. A subprocess that does not end within timeout_s seconds is killed.
    """
    return asyncio.run(_run_all(probes, timeout_s))


async def _run_all(probes: Mapping[str, Sequence[str]], timeout_s: float) -> dict[str, ProbeResult]:
    turns = asyncio.Semaphore(min(MOST_AT_ONCE, max(2, usable_cores())))

    async def in_turn(arguments: Sequence[str]) -> ProbeResult:
        async with turns:
            return await _run(arguments, timeout_s)

    results = await asyncio.gather(*map(in_turn, probes.values()))
    return dict(zip(probes, results, strict=True))


async def _run(arguments: Sequence[str], timeout_s: float) -> ProbeResult:
    environment = environment_with_same_modules()
    try:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", _PROBE_MODULE, *arguments, env=environment, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    except OSError as error:
        return ProbeResult(text=f"no process can be started: {error.strerror}", crashed=True)
    try:
        stdout, stderr = await asyncio.wait_for(child.communicate(), timeout_s)
    except TimeoutError:
        return ProbeResult(text=not_within(timeout_s), crashed=True)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return _result(child.returncode or 0, stdout.decode(errors="replace"), stderr.decode(errors="replace"))


def _result(code: int, stdout: str, stderr: str) -> ProbeResult:
    try:
        result = json.loads(stdout)
    except ValueError:
        result = {}
    if code and "error" not in result:
        last = next((line.strip() for line in reversed(stderr.splitlines()) if line.strip()), "")
        return ProbeResult(text=ending(code) + (f": {last[:_LONGEST_TEXT]}" if last else ""), crashed=True)
    if "error" in result:
        return ProbeResult(error=result["error"], text=one_line(result["text"]).rstrip(".") or result["error"],
                      remedy=result["remedy"], missing_module=result["missing_module"])
    if not result:
        return ProbeResult(text="it ends without a result", crashed=True)
    return ProbeResult(reported=result["reported"])


def one_line(text: str) -> str:
    """The line of an error that says most: those of numpy and OpenCV are pages that contain the loader's message."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    loader = [line for line in lines if "cannot open shared object file" in line]
    return ((loader or lines)[0] if lines else "")[:_LONGEST_TEXT]
