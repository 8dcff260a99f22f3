"""Opening a model the way that was measured to be the fastest here."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from srn_deploy.automatic import is_worth_its_start
from srn_deploy.backends import Backend, open_half, open_on
from srn_deploy.engine.store import EngineStore, StoredEngine
from srn_deploy.errors import DeviceUnavailable, NotCertified, SrnDeployError
from srn_deploy.registry.resolve import ResolvedModel, resolve_file
from srn_deploy.spec import Precision
from srn_deploy.system.threads import are_asked_for, cpu_threads
from srn_deploy.tuning.choice import MeasuredWay, Tuned, WayToRun, find
from srn_deploy.verification.cpu_precision import open_certified, open_certified_int8
from srn_deploy.verification.verify import ensure_certified, reference_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class OpenedWay:
    """A way that was opened; whoever asked for it closes the backend."""

    backend: Backend
    way: WayToRun
    what: str
    """What runs it, where and why, without a full stop."""


def open_way(model: ResolvedModel, way: WayToRun) -> tuple[Backend, str]:
    """Open a model in one way, certified where that way needs it; also returns what runs it, and where.

    Raises NotCertified, DeviceUnavailable, MissingPackage, and a BackendError, EngineError or GraphError where it
    cannot be opened.
    """
    with cpu_threads(None if are_asked_for() else way.threads or None):
        return _opened(model, way)


def _opened(model: ResolvedModel, way: WayToRun) -> tuple[Backend, str]:
    if way.engine:
        store = EngineStore()
        backend, title = open_engine_of(model, store.open(store.folder / way.engine))
    elif way.device == "openvino" and way.precision in (Precision.BF16, Precision.INT8):
        return _opened_certified(model, way.precision)
    elif way.of_checkpoint:
        checkpoint = model.checkpoint
        if checkpoint is None:
            raise DeviceUnavailable(f"The checkpoint of {model.path.name} is not known.", remedy="Tune it again.")
        backend, title = open_half(checkpoint) if way.precision is Precision.FP16 else open_on(checkpoint, way.device)
    else:
        backend, title = open_on(model, way.device)
    return backend, f"{title} on the {'GPU' if way.device == 'cuda' else 'CPU'}"


def _opened_certified(model: ResolvedModel, precision: Precision) -> tuple[Backend, str]:
    opened = open_certified(model) if precision is Precision.BF16 else open_certified_int8(model)
    if isinstance(opened, str):
        raise NotCertified(f"{model.path.name} is not run in {precision.upper()}: {opened}.",
                           remedy="Use --precision fp32.")
    backend, what = opened
    return backend, what.partition(" (")[0]


def open_engine_of(made_from: ResolvedModel, engine: StoredEngine) -> tuple[Backend, str]:
    """An engine of the cache and its title; closed again where it is not certified, which raises NotCertified."""
    model = resolve_file(engine.path)
    backend, title = open_on(model, "cuda")
    try:
        ensure_certified(backend, model, title, against=reference_of(made_from))
    except BaseException:
        backend.close()
        raise
    return backend, title


def open_tuned(model: ResolvedModel, wanted: Precision | None, pixels: Iterable[int] | None) -> OpenedWay | None:
    """Open the fastest way that was measured for a model here; None where nothing was, or it cannot be opened.

    wanted: only ways in this precision; None: in any. pixels: of each image that will be upscaled, where that is known:
    OpenVINO is not started for less than it saves.
    """
    tuned = find(model)
    fitting = [one for one in tuned.ways if wanted in (None, one.way.precision)] if tuned is not None else []
    if tuned is None or not fitting:
        return None
    chosen, why = _by_work(fitting, pixels)
    try:
        backend, what = open_way(model, chosen.way)
    except SrnDeployError as error:
        _log.warning("What was tuned is ignored: %s Tune it again: srn-deploy tune %s", error.message, tuned.model)
        return None
    return OpenedWay(backend=backend, way=chosen.way, what=f"{what} ({_reasons(tuned, chosen, why)})")


def _by_work(ways: list[MeasuredWay], pixels: Iterable[int] | None) -> tuple[MeasuredWay, str]:
    """The fastest way, or the fastest that starts at once, and why that."""
    fastest = ways[0]
    at_once = next((one for one in ways if one.way.device != "openvino"), None)
    if pixels is None or at_once is None or at_once is fastest:
        return fastest, ""
    saved_s_per_px = (at_once.seconds_per_megapixel - fastest.seconds_per_megapixel) / 1e6
    if is_worth_its_start(saved_s_per_px, pixels):
        return fastest, ""
    return at_once, f"there is too little to do for {fastest.title}"


def _reasons(tuned: Tuned, chosen: MeasuredWay, why: str) -> str:
    speed = f"tuned here on {tuned.date}: {chosen.seconds_per_megapixel:.2f} s for a megapixel"
    return "; ".join(filter(None, (speed, chosen.way.settings(), why)))
