"""Steady state: every way to run some models, warmed up and in turn; resident, host to host, file to file."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from srn_deploy.backends import Backend, open_half, open_on
from srn_deploy.benchmark.contestants import Pass, alternated, cautions, ratios, statistics_of, wall_clock, warm_up
from srn_deploy.benchmark.machine import PeakMemory, ceilings, gpu_state, larger, throttling
from srn_deploy.benchmark.records import Record, circumstances
from srn_deploy.engine.store import EngineStore
from srn_deploy.errors import DeviceUnavailable, OptionError, SrnDeployError
from srn_deploy.image import Image, write_image
from srn_deploy.inference.jobs import Job, plan_jobs, run_jobs
from srn_deploy.inference.setup import Setup
from srn_deploy.open_model import engines_of
from srn_deploy.registry.shipped import corrections_for, default_model, find_graph
from srn_deploy.spec import Corrections, Form, PixelType, Precision, is_engine, is_graph
from srn_deploy.system.threads import threads_in_use
from srn_deploy.tiling.shapes import Size
from srn_deploy.verification.verify import checkpoint_of

KIND = "bench-steady"

DEFAULT_SIZE = (339, 510)
"""Of nearly half of DIV2K's x4 test inputs."""

BEYOND_CEILINGS = """: more than the measured ceilings. Other programs were running when those were measured, or the
library computes in a narrower type: do not trust the shares."""

Tell = Callable[[str], None]


@runtime_checkable
class MeasuresOnDevice(Protocol):
    """A backend that times itself: events on a GPU."""

    def measure(self, shape: tuple[int, int, int]) -> Pass:
        """A step on resident buffers that returns its milliseconds."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured."""

    size: Size = DEFAULT_SIZE
    batches: tuple[int, ...] = (1,)
    rounds: int = 15
    device: str = "cpu"


@dataclass
class _Contestant:
    """One way, on one batch size."""

    name: str
    run: Pass
    pictures: int
    facts: dict[str, Any]


def run_steady(models: Sequence[str | None], plan: Plan, *, tell: Tell = lambda line: None) -> Record:
    """Measure every way to run the models on the device; a way that is not to be had is told and left out."""
    told = circumstances(threads=threads_in_use()) | gpu_state()
    with ExitStack() as opened:
        contestants = [one for model in models for one in _contestants(model, plan, opened, tell)]
        _check_names([one.name for one in contestants])
        if not contestants:
            named = " or ".join(model or default_model() for model in models)
            raise DeviceUnavailable(f"There is no way to run {named} on {plan.device}.",
                                    remedy="The lines above say why; try --device cpu.")
        limits = ceilings(plan.device)
        memory = {one.name: _warmed(one) for one in contestants}
        states: list[dict[str, Any]] = []
        samples = alternated({one.name: one.run for one in contestants}, plan.rounds,
                             after_round=lambda: states.append(gpu_state()))
        limits = larger(limits, ceilings(plan.device))
    after = states[-1] | {"gpu_throttled_by": throttling(states)}
    first = contestants[0].name
    per_picture = [sample / contestants[0].pictures for sample in samples[first]]
    rows = {one.name: _told(one, samples[one.name], per_picture, memory[one.name], plan, limits)
            for one in contestants}
    return Record(kind=KIND, title=f"Steady state at {plan.size[0]} x {plan.size[1]} px on "
                                   f"{told['gpu'] if plan.device == 'cuda' else told['cpu']}",
                  circumstances=told | {"after": after, "ceilings": limits},
                  results={"device": plan.device, "size": list(plan.size), "baseline": first, "contestants": rows,
                           "cautions": [*cautions(samples, after), *beyond_ceilings(rows)]})


def beyond_ceilings(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A share above the whole is told: the ceiling was measured too low."""
    beyond = [name for name, told in rows.items()
              if max(told.get("share_of_compute", 0.0), told.get("share_of_memory", 0.0)) > 1]
    if not beyond:
        return []
    return [", ".join(beyond) + BEYOND_CEILINGS]


def _check_names(names: Sequence[str]) -> None:
    if len(set(names)) != len(names):
        raise OptionError(f"Two contestants are called {max(names, key=names.count)!r}.",
                          remedy="Give each model once, and files of different names.")


def _warmed(one: _Contestant) -> float | None:
    """Run until stable; the peak of the process while it did."""
    peak = PeakMemory()
    peak.begin()
    warm_up(one.run)
    return peak.mebibytes()


def _told(one: _Contestant, samples: Sequence[float], baseline: Sequence[float], peak_mib: float | None, plan: Plan,
          limits: Mapping[str, float]) -> dict[str, Any]:
    figures = statistics_of(samples)
    seconds = figures["median_ms"] / 1000
    pixels = one.pictures * plan.size[0] * plan.size[1]
    shares = {}
    if "flops" in one.facts and "gflops" in limits:
        flops, moved = one.facts.pop("flops"), one.facts.pop("moved_bytes")
        shares = {"share_of_compute": flops * one.pictures / seconds / 1e9 / limits["gflops"],
                  "share_of_memory": moved * one.pictures / seconds / 1e9 / limits["gbytes_per_s"]}
    return {**figures, **shares, "ratio_to_baseline": ratios([sample / one.pictures for sample in samples], baseline),
            "pictures_per_s": one.pictures / seconds,
            "input_megapixels_per_s": pixels / seconds / 1e6, "peak_mib": peak_mib, **one.facts,
            "samples_ms": list(samples)}


def _contestants(model: str | None, plan: Plan, opened: ExitStack, tell: Tell) -> Iterator[_Contestant]:
    path = find_graph(model)
    title = path.stem
    for name, opener in _ways(path, plan.device, corrections_for(model), opened):
        try:
            backend, library = opener()
            opened.callback(backend.close)
            found = list(_of_backend(f"{title}, {name}", backend, library, plan, opened))
            for one in found:
                one.run()
        except SrnDeployError as error:
            tell(f"{title}, {name}: left out, {error.message}")
        else:
            yield from found


def _ways(path: Path, device: str, corrections: Corrections,
          opened: ExitStack) -> Iterator[tuple[str, Callable[[], tuple[Backend, str]]]]:
    """Backend, precision and form of graph."""
    if is_engine(path):
        yield "engine", lambda: open_on(path, "cuda")
        return
    if is_graph(path):
        yield "graph", lambda: open_on(path, device)
    checkpoint = checkpoint_of(path)
    if checkpoint is not None and all(importlib.util.find_spec(name) for name in ("torch", "onnx", "onnxscript")):
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        yield "PyTorch FP32", lambda: open_on(checkpoint, device, corrections)
        for form in Form.DEPLOY, Form.PORTABLE:
            for precision in Precision:
                if not (is_graph(path) and (form, precision) == (Form.DEPLOY, Precision.FP32)):
                    yield (f"{form} graph {precision.upper()}",
                           partial(_exported, checkpoint, folder, form, precision, device, corrections))
    if device == "cuda":
        if checkpoint is not None:
            yield "PyTorch FP16", lambda: open_half(checkpoint, corrections)
        for engine in engines_of(path, EngineStore(), corrections):
            yield engine.path.stem, partial(open_on, engine.path, "cuda")


def _exported(checkpoint: Path, folder: Path, form: Form, precision: Precision, device: str,
              corrections: Corrections) -> tuple[Backend, str]:
    from srn_deploy.graph.export import ExportOptions
    from srn_deploy.verification.export_proof import export_and_prove

    graph = folder / f"{form}-{precision}.onnx"
    export_and_prove(checkpoint, graph, ExportOptions(form=form, precision=precision), corrections)
    return open_on(graph, device)


def _of_backend(name: str, backend: Backend, library: str, plan: Plan, opened: ExitStack) -> Iterator[_Contestant]:
    """Resident for every batch size; from host to host and from file to file one picture at a time."""
    facts = {"library": library, "precision": backend.spec.precision.value, "form": backend.spec.form.value}
    costs = _costs(backend, plan.size)
    for batch in plan.batches:
        shape = (batch, *plan.size)
        run = backend.measure(shape) if isinstance(backend, MeasuresOnDevice) else wall_clock(backend.prepare(shape))
        yield _Contestant(f"{name}, resident, batch {batch}", run, batch, facts | costs)
    picture = np.random.default_rng(0).integers(0, 256, (1, *plan.size, 3), dtype=np.uint8)
    takes_bytes = backend.spec.form is not Form.DEPLOY or backend.spec.pixel_type is PixelType.UINT8
    batch_1 = picture if takes_bytes else picture.astype(np.float32) / np.float32(255)
    yield _Contestant(f"{name}, host to host", wall_clock(lambda: backend.run(batch_1)), 1, dict(facts))
    folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
    write_image(folder / "in.png", Image(pixels=picture[0]))
    jobs = plan_jobs(folder / "in.png", folder / "out.png")
    yield _Contestant(f"{name}, file to file", wall_clock(partial(_run_files, jobs, backend)), 1, dict(facts))


def _run_files(jobs: Sequence[Job], backend: Backend) -> None:
    """A picture that failed is no fast one."""
    for outcome in run_jobs(jobs, Setup(backend)):
        if outcome.error is not None:
            raise outcome.error


def _costs(backend: Backend, size: Size) -> dict[str, int]:
    """Floating point operations (a multiplication and an addition are two) and the least bytes that are moved.

    Every convolution writes its output once and reads one of that size; of networks that PyTorch can build.
    """
    if importlib.util.find_spec("torch") is None:
        return {}
    from srn_deploy.architectures import build_from
    from srn_deploy.architectures.complexity import count

    found = count(build_from(replace(backend.spec, form=Form.CHECKPOINT)), height=size[0], width=size[1])
    width_bytes = 2 if backend.spec.precision is Precision.FP16 else 4
    return {"flops": 2 * found.flops, "moved_bytes": 2 * found.activations * width_bytes}
