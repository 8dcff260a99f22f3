"""The machine: Python, memory, the shipped models and the cache of engines."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from srn_deploy.doctor import cures
from srn_deploy.doctor.children import Answer
from srn_deploy.doctor.findings import Finding, State
from srn_deploy.doctor.packages import BASE, FEATURES
from srn_deploy.engine.store import EngineStore
from srn_deploy.errors import DamagedCheckpoint, OptionError, SrnDeployError
from srn_deploy.registry import shipped
from srn_deploy.registry.published import PublishedModel, published_models
from srn_deploy.registry.shipped import MANIFEST, ShippedFile, default_model, shipped_models, state_of
from srn_deploy.spec import ENGINE_SUFFIX
from srn_deploy.system.cache import VARIABLE, engines_folder

RUN_BYTES = 2**30
"""What a run takes beside the picture and its result, whatever the size."""

SHOWN_DIGITS = 12
"""Of a hash, as many as tell files apart; `models list --json` has them whole."""

ENGINES = FEATURES["tensorrt"]

MACHINE = "This machine"

_LIMITS = (("memory.max", "memory.current", "inactive_file"),
           ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"))
"""Of control groups, second and first version: limit, use, and what of the use is given back when asked for."""


def machine_findings() -> list[Finding]:
    """Python, the platform and the memory."""
    python = f"{platform.python_version()} ({platform.python_implementation()}), {sys.executable}"
    return [Finding(feature=MACHINE, name="Python", state=State.OK, detail=python),
            Finding(feature=MACHINE, name="platform", state=State.OK,
                    detail=f"{platform.system()} {platform.machine()}, {' '.join(filter(None, platform.libc_ver()))}"
                    .rstrip(", ")),
            memory_finding(available_bytes())]


def memory_finding(free_bytes: int | None) -> Finding:
    """Of the machine's memory what a run could have now; None where the system does not tell."""
    if free_bytes is None:
        return Finding(feature=MACHINE, name="memory", state=State.UNTRIED, detail="the system does not tell")
    detail = f"{free_bytes / 2**30:.1f} GiB available; a run takes about 1 GiB beside the picture and its result"
    if free_bytes >= RUN_BYTES:
        return Finding(feature=MACHINE, name="memory", state=State.OK, detail=detail)
    return Finding(feature=MACHINE, name="memory", state=State.WARNING, detail=detail,
                   cure="End other programs, raise the container's limit, or give upscale a smaller --tile.")


def available_bytes() -> int | None:
    """Memory that is available to this process: of the machine, and within the limits of its control groups."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    told = {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}
    return min([told.get("MemAvailable", told["MemFree"]), *_left_by_groups(Path("/sys/fs/cgroup"))])


def _left_by_groups(root: Path) -> Iterator[int]:
    """What each control group above this process leaves it."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        top = root / controllers
        group = top / path.lstrip("/")
        for folder in [group, *group.parents]:
            yield from _left_in(folder)
            if folder == top:
                break


def _left_in(folder: Path) -> Iterator[int]:
    for limit, use, spare in _LIMITS:
        try:
            most, used = (int((folder / name).read_text(encoding="utf-8")) for name in (limit, use))
            stat = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="utf-8").splitlines())
        except (OSError, ValueError):  # no such group, or no limit: "max"
            continue
        yield max(0, most - used + int(stat.get(spare, 0)))


def model_findings() -> list[Finding]:
    """Every file of every shipped model by its hash."""
    try:
        models, default = shipped_models(), default_model()
    except (SrnDeployError, OSError, ValueError, KeyError, TypeError) as error:
        return [_model("models", State.MISSING, f"The shipped models are not there: {error}".splitlines()[0],
                       _model_cure(MANIFEST))]
    files = [file for model in models.values() for file in (model.graph, model.float_graph, model.checkpoint)]
    damaged = [file for file in files if not _is_whole(file)]
    if not damaged:
        graphs = ", ".join(f"{model.name} {model.graph.sha256[:SHOWN_DIGITS]}" for model in models.values())
        return [_model("models", State.OK, f"{len(models)}, each file the one that its manifest names; {default} is "
                       f"the default; SHA-256 of the graphs: {graphs}")]
    return [_model(file.name, State.BROKEN, "missing, or not the file that the manifest names", _model_cure(file.name))
            for file in damaged]


def pulled_findings() -> list[Finding]:
    """Every model that was pulled, by the hash of its file; those that were not have no finding."""
    try:
        published = published_models().values()
        return [finding for model in published for finding in _pulled_finding(model)]
    except OptionError:
        return []  # no home folder and no SRN_CACHE: nothing can have been pulled


def _pulled_finding(model: PublishedModel) -> list[Finding]:
    again = f"srn-deploy models pull {model.name}"
    try:
        state = state_of(model)
    except OSError as error:
        return [_model(model.name, State.BROKEN, f"{model.path} cannot be read: {error.strerror}",
                       f"Make {model.path} a file that you may read, or remove it and run `{again}`.")]
    if state is shipped.State.DAMAGED:
        return [_model(model.name, State.BROKEN, f"{model.path} is not the file that the catalogue names", again)]
    if state is shipped.State.PULLED:
        return [_model(model.name, State.OK, f"pulled, the file that the catalogue names; SHA-256 "
                       f"{model.sha256[:SHOWN_DIGITS]}")]
    return []


def default_is_whole() -> bool:
    """Whether both graphs that `upscale` takes when no model is named are there: for 8 bits and for 16."""
    try:
        default = shipped_models()[default_model()]
        return _is_whole(default.graph) and _is_whole(default.float_graph)
    except (SrnDeployError, OSError, ValueError, KeyError, TypeError):
        return False


def _is_whole(file: ShippedFile) -> bool:
    try:
        file.checked_path()
    except (DamagedCheckpoint, OSError):
        return False
    return True


def _model_cure(name: str) -> str:
    try:
        return cures.restore(shipped.models_folder() / name)
    except SrnDeployError:
        return cures.install_itself()


def _model(name: str, state: State, detail: str, cure: str = "") -> Finding:
    return Finding(feature=FEATURES[BASE], name=name, state=state, detail=detail, cure=cure)


def cache_finding() -> Finding:
    """Whether engines can be kept: tried with a file that is gone at once."""
    folder = engines_folder()
    there = next(place for place in [folder.absolute(), *folder.absolute().parents] if os.path.lexists(place))
    try:
        with tempfile.TemporaryFile(dir=there):
            free_bytes = shutil.disk_usage(there).free
    except OSError as error:
        return Finding(feature=ENGINES, name="cache", state=State.BROKEN,
                       detail=f"{folder} cannot be written to: {error.strerror} ({there})", cure=_cache_cure(there))
    return Finding(feature=ENGINES, name="cache", state=State.OK,
                   detail=f"{folder}, {free_bytes / 2**30:.0f} GiB free on its disk")


def _cache_cure(there: Path) -> str:
    """Engines and pulled models lie in one cache, so another folder is no cure without a word on the models."""
    if os.environ.get(VARIABLE):
        return f"unset {VARIABLE}"
    return (f"Make {there} writable to you, or name another folder in the variable {VARIABLE}; pulled models are then "
            "looked for in its models/.")


def engine_findings(answer: Answer) -> list[Finding]:
    """The engines in the cache, and whether they run here."""
    try:
        count = len(list(engines_folder().glob(f"*{ENGINE_SUFFIX}")))
        readable = len(EngineStore().engines())
    except OSError:
        return []  # the finding of the cache says why
    if count != readable:
        return [_engines(State.WARNING, f"{count - readable} of {count} without a manifest that can be read",
                         "srn-deploy engines prune")]
    if not count:
        return [_engines(State.OK, "none in the cache")]
    if not answer.ok:
        return [_engines(State.BROKEN, f"{count} in the cache; opening them: {answer.text}",
                         "srn-deploy engines prune --all")]
    obstacles = [reason for reason in answer.told["engines"].values() if reason]
    fit = f"{count} in the cache, {count - len(obstacles)} of them for this machine"
    return [_engines(State.OK, f"{fit} ({obstacles[0].rstrip('.')})" if obstacles else fit)]


def _engines(state: State, detail: str, cure: str = "") -> Finding:
    return Finding(feature=ENGINES, name="engines", state=state, detail=detail, cure=cure)
