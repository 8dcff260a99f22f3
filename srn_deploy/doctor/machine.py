"""Findings about the machine: Python, memory, shipped and pulled models, and the cache of engines."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path

from srn_deploy.doctor import fixes
from srn_deploy.doctor.findings import Finding, Status
from srn_deploy.doctor.packages import BASE, FEATURES
from srn_deploy.doctor.probe_reports import EnginesReport
from srn_deploy.doctor.subprocesses import ProbeResult
from srn_deploy.engine.store import EngineStore
from srn_deploy.errors import DamagedCheckpoint, OptionError, SrnDeployError
from srn_deploy.registry import shipped
from srn_deploy.registry.published import DownloadState, PublishedModel, published_models, state_of
from srn_deploy.registry.shipped import MANIFEST, ShippedFile, default_model, shipped_models
from srn_deploy.spec import ENGINE_SUFFIX
from srn_deploy.system.cache import VARIABLE, engines_folder
from srn_deploy.system.memory import available_bytes

RUN_BYTES = 2**30
"""What a run needs in addition to the image and its result, whatever their size."""

SHOWN_DIGITS = 12
"""Digits of a hash that are enough to distinguish files; `models list --json` shows all of them."""

ENGINES = FEATURES["tensorrt"]

MACHINE = "This machine"


def machine_findings() -> list[Finding]:
    """Findings for Python, the platform and the memory."""
    python = f"{platform.python_version()} ({platform.python_implementation()}), {sys.executable}"
    return [Finding(feature=MACHINE, name="Python", state=Status.OK, detail=python),
            Finding(feature=MACHINE, name="platform", state=Status.OK,
                    detail=f"{platform.system()} {platform.machine()}, {' '.join(filter(None, platform.libc_ver()))}"
                    .rstrip(", ")),
            memory_finding(available_bytes())]


def memory_finding(free_bytes: int | None) -> Finding:
    """The finding for the memory that a run could use now; None where the system does not report it."""
    if free_bytes is None:
        return Finding(feature=MACHINE, name="memory", state=Status.UNTRIED, detail="the system does not report it")
    detail = f"{free_bytes / 2**30:.1f} GiB available; a run needs about 1 GiB in addition to the image and its result"
    if free_bytes >= RUN_BYTES:
        return Finding(feature=MACHINE, name="memory", state=Status.OK, detail=detail)
    return Finding(feature=MACHINE, name="memory", state=Status.WARNING, detail=detail,
                   fix="End other programs, raise the container's limit, or give upscale a smaller --tile.")


def model_findings() -> list[Finding]:
    """Findings for the files of every shipped model, from their hashes."""
    try:
        models, default = shipped_models(), default_model()
    except (SrnDeployError, OSError, ValueError, KeyError, TypeError) as error:
        return [_model("models", Status.MISSING, f"The shipped models cannot be found: {error}".splitlines()[0],
                       _model_fix(MANIFEST))]
    files = [file for model in models.values() for file in model.files]
    damaged = [file for file in files if not _is_whole(file)]
    if not damaged:
        graphs = ", ".join(f"{model.name} {model.graph.sha256[:SHOWN_DIGITS]}" for model in models.values())
        return [_model("models", Status.OK, f"{len(models)}, every file is the one in the manifest; {default} is "
                       f"the default; SHA-256 of the graphs: {graphs}")]
    return [_model(file.name, Status.BROKEN, "missing, or not the file in the manifest", _model_fix(file.name))
            for file in damaged]


def pulled_findings() -> list[Finding]:
    """Findings for every pulled model, from the hash of its file; models that were not pulled have none."""
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
        return [_model(model.name, Status.BROKEN, f"{model.path} cannot be read: {error.strerror}",
                       f"Make {model.path} readable for you, or remove it and run `{again}`.")]
    if state is DownloadState.DAMAGED:
        return [_model(model.name, Status.BROKEN, f"{model.path} is not the file in the catalogue", again)]
    if state is DownloadState.PULLED:
        return [_model(model.name, Status.OK, f"pulled, and the file in the catalogue; SHA-256 "
                       f"{model.sha256[:SHOWN_DIGITS]}")]
    return []


def default_is_whole() -> bool:
    """Whether both graphs that `upscale` uses when no model is named are intact: for 8 bits and for 16."""
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


def _model_fix(name: str) -> str:
    try:
        return fixes.restore(shipped.models_folder() / name)
    except SrnDeployError:
        return fixes.install_itself()


def _model(name: str, state: Status, detail: str, fix: str = "") -> Finding:
    return Finding(feature=FEATURES[BASE], name=name, state=state, detail=detail, fix=fix)


def cache_finding() -> Finding:
    """The finding for the cache of engines, from writing a file that is removed at once."""
    folder = engines_folder()
    existing = next(place for place in [folder.absolute(), *folder.absolute().parents] if os.path.lexists(place))
    try:
        with tempfile.TemporaryFile(dir=existing):
            free_bytes = shutil.disk_usage(existing).free
    except OSError as error:
        return Finding(feature=ENGINES, name="cache", state=Status.BROKEN,
                       detail=f"{folder} cannot be written to: {error.strerror} ({existing})", fix=_cache_fix(existing))
    return Finding(feature=ENGINES, name="cache", state=Status.OK,
                   detail=f"{folder}, {free_bytes / 2**30:.0f} GiB free on its disk")


def _cache_fix(folder: Path) -> str:
    """How to make the cache writable; pulled models are in the same cache, so another folder affects them too."""
    if os.environ.get(VARIABLE):
        return f"unset {VARIABLE}"
    return (f"Make {folder} writable for you, or set the variable {VARIABLE} to another folder; pulled models are then "
            "looked for in its models/ subfolder.")


def engine_findings(result: ProbeResult) -> list[Finding]:
    """Findings for the engines in the cache, and whether they run here."""
    try:
        count = len(list(engines_folder().glob(f"*{ENGINE_SUFFIX}")))
        readable = len(EngineStore().engines())
    except OSError:
        return []  # the finding of the cache says why
    if count != readable:
        return [_engines(Status.WARNING, f"{count - readable} of {count} have no readable manifest",
                         "srn-deploy engines prune")]
    if not count:
        return [_engines(Status.OK, "none in the cache")]
    if not result.ok:
        return [_engines(Status.BROKEN, f"{count} in the cache; opening them: {result.text}",
                         "srn-deploy engines prune --all")]
    obstacles = [reason for reason in result.read(EnginesReport).engines.values() if reason]
    fit = f"{count} in the cache, {count - len(obstacles)} of them for this machine"
    return [_engines(Status.OK, f"{fit} ({obstacles[0].rstrip('.')})" if obstacles else fit)]


def _engines(state: Status, detail: str, fix: str = "") -> Finding:
    return Finding(feature=ENGINES, name="engines", state=state, detail=detail, fix=fix)
