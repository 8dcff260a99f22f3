"""Every way to run a model on this machine, each as candidates: resident, from host to host, from file to file."""

from __future__ import annotations

import importlib.util
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from srn_deploy.backends import Backend, open_half, open_in_pytorch, open_on, open_on_openvino, why_no_bf16
from srn_deploy.benchmark.candidates import Pass, wall_clock
from srn_deploy.engine.store import EngineStore
from srn_deploy.errors import SrnDeployError
from srn_deploy.external import with_spec
from srn_deploy.image import Image, write_image
from srn_deploy.inference.jobs import run_jobs
from srn_deploy.inference.plan import Job, plan_jobs
from srn_deploy.inference.setup import Setup
from srn_deploy.open_model import engines_of
from srn_deploy.quantized_graphs import is_int8, shipped_int8_graph
from srn_deploy.registry.resolve import Model, ModelKind, ResolvedModel, resolve, resolve_file
from srn_deploy.spec import Form, PixelType, Precision
from srn_deploy.system.cpu_features import cpu_features
from srn_deploy.tiling.shapes import Size
from srn_deploy.tuning.choice import WayToRun

_log = logging.getLogger(__name__)

OpenBackend = Callable[[], tuple[Backend, str]]
"""Opens a backend; also returns what runs it, as "ONNX Runtime"."""


OpenGraph = Callable[[], ResolvedModel]
"""Gives a graph, which it exports if need be."""


@runtime_checkable
class MeasuresOnDevice(Protocol):
    """A backend that times itself: events on a GPU."""

    def measure(self, shape: tuple[int, int, int]) -> Pass:
        """A step on resident buffers of (batch, height, width) that returns its milliseconds."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one pass over one image takes at least."""

    flops: int
    """A multiplication and an addition are two."""
    moved_bytes: int
    """Every convolution writes its output once and reads an input of that size."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What every candidate runs, and where."""

    device: str
    size: Size
    """(height, width) of the input."""
    batches: tuple[int, ...]
    every_way: bool
    """On a CPU too, the portable graph and FP16 graphs, which a CPU computes in FP32, and from host to host; PyTorch in
    its own layout and compiled."""

    precision: Precision | None = None
    """Only ways that compute in it; None: in any precision."""

    def takes(self, precision: Precision | None) -> bool:
        """Whether a way of this precision is timed; None: it is not known before the way is opened."""
        return self.precision is None or precision in (None, self.precision)

    @property
    def copies_to_device(self) -> bool:
        """Whether from host to host takes more than resident data; on a CPU it is the same work."""
        return self.device == "cuda"


@dataclass(frozen=True)
class Way:
    """One way to run a model, not opened yet."""

    name: str
    open: OpenBackend
    precision: Precision | None = None
    """None where only the opened file says it."""
    reopens: WayToRun | None = None
    """How `auto` opens it again; None for what was exported for a benchmark alone."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One way to run a model, on one batch size."""

    name: str
    run: Pass
    pictures: int
    library: str
    precision: Precision
    form: Form
    cost: Cost | None = None
    """None where it is not known, or where a pass is more than the network."""
    first_ms: float = 0.0
    """Milliseconds of the pass that was run after opening."""


def candidates_of(model: Model, task: Task, opened: ExitStack,
                  on_way: Callable[[str], None] = lambda name: None) -> Iterator[Candidate]:
    """The candidates of every way, opened and run once; a way that fails is left out, and the log says why.

    opened: closes the backends and removes what was exported. on_way: called with the name of each way before it is
    opened.
    """
    given = resolve(model)
    resolved = with_spec(given)
    for way in ways_of(resolved, task, opened):
        if not task.takes(way.precision):
            continue
        title = f"{given.path.stem}, {way.name}"
        on_way(title)
        with ExitStack() as own:  # what a way that fails has opened is closed at once
            try:
                backend, library = way.open()
                own.callback(backend.close)
                found = [] if not task.takes(backend.spec.precision) else [
                    replace(one, first_ms=one.run())
                    for one in _candidates_on(title, backend, library, task, own)]
            except SrnDeployError as error:
                _log.warning("%s is left out: %s", title, error.message)
                continue
            opened.enter_context(own.pop_all())
        yield from found


def ways_of(model: ResolvedModel, task: Task, opened: ExitStack) -> Iterator[Way]:
    """By backend, precision and form of graph. opened: removes what was exported."""
    if model.kind is ModelKind.ENGINE:
        yield Way("engine", lambda: open_on(model, "cuda"))
        return
    has_torch = all(importlib.util.find_spec(name) for name in ("torch", "onnx", "onnxscript"))
    checkpoint, graphs = model.checkpoint, dict[tuple[Form, Precision], OpenGraph]()
    if checkpoint is not None and has_torch:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        graphs = {kind: partial(_exported, checkpoint, folder, kind)
                  for kind in _exports(task, is_there=model.kind is ModelKind.GRAPH)}
    if task.device != "openvino":
        if model.kind is ModelKind.GRAPH:
            yield Way("graph", lambda: open_on(model, task.device), reopens=_again(task.device))
        if checkpoint is not None and has_torch:
            yield Way("PyTorch FP32", lambda: open_on(checkpoint, task.device), Precision.FP32,
                      _again(task.device, of_checkpoint=True))
        for (form, precision), graph in graphs.items():
            yield Way(f"{form} graph {precision.upper()}", partial(_opened_graph, graph, task.device), precision)
    if task.device == "cpu" and checkpoint is not None and has_torch:
        yield from _in_pytorch(checkpoint, task)
    if task.device == "cuda":
        yield from _on_gpu_alone(model)
    deploy = graphs.get((Form.DEPLOY, Precision.FP32)) if model.kind is ModelKind.CHECKPOINT else lambda: model
    if deploy is not None:
        yield from _on_openvino(deploy, task, model)


def _in_pytorch(checkpoint: ResolvedModel, task: Task) -> Iterator[Way]:
    """On a CPU, as scripts may run it: in BF16 where the CPU has that; with `every_way` in PyTorch's own layout and
    compiled, which takes half a minute for each."""
    kinds = [Precision.FP32, *([Precision.BF16] if (cpu_features() or {}).get("BF16") else [])]
    for precision in kinds[1:]:
        yield Way(f"PyTorch {precision.upper()}", partial(open_in_pytorch, checkpoint, precision), precision)
    if task.every_way:
        yield Way("PyTorch FP32 channels first", partial(open_in_pytorch, checkpoint, Precision.FP32,
                                                         channels_last=False), Precision.FP32)
        for precision in kinds:
            yield Way(f"torch.compile {precision.upper()}", partial(open_in_pytorch, checkpoint, precision,
                                                                    compiled=True), precision)


def _on_gpu_alone(model: ResolvedModel) -> Iterator[Way]:
    checkpoint = model.checkpoint
    if checkpoint is not None:
        yield Way("PyTorch FP16", lambda: open_half(checkpoint), Precision.FP16,
                  _again("cuda", Precision.FP16, of_checkpoint=True))
    for engine in engines_of(model, EngineStore()):
        yield Way(engine.path.stem, partial(open_on, resolve_file(engine.path), "cuda"), engine.spec.precision,
                  _again("cuda", engine.spec.precision, engine=engine.path.name))


def _on_openvino(graph: OpenGraph, task: Task, model: ResolvedModel) -> Iterator[Way]:
    """On a CPU, where OpenVINO is installed or asked for; in BF16 where the CPU computes in it or BF16 is asked for.

    graph: the FP32 graph of the model. One that was exported for a benchmark is gone afterwards. An INT8 graph runs
    in INT8 alone, and most shipped models have one besides.
    """
    is_asked_for = task.device == "openvino" or task.precision in (Precision.BF16, Precision.INT8)
    if task.device == "cuda" or not (is_asked_for or importlib.util.find_spec("openvino")):
        return
    is_kept = model.kind is ModelKind.GRAPH
    reason = why_no_bf16()  # raises MissingPackage where it is asked for and not installed
    int8_graph = model if is_int8(model) else shipped_int8_graph(model)
    if int8_graph is not None:
        yield Way("OpenVINO INT8", partial(open_on_openvino, int8_graph, Precision.INT8), Precision.INT8,
                  _again("openvino", Precision.INT8) if is_kept else None)
    if int8_graph is model:
        return
    for precision in (Precision.FP32, Precision.BF16):
        if precision is Precision.FP32 or not reason or task.precision is Precision.BF16:
            yield Way(f"OpenVINO {precision.upper()}", partial(_opened_on_openvino, graph, precision), precision,
                      _again("openvino", precision) if is_kept else None)


def _again(device: str, precision: Precision = Precision.FP32, *, of_checkpoint: bool = False,
           engine: str = "") -> WayToRun:
    return WayToRun(device=device, precision=precision, of_checkpoint=of_checkpoint, engine=engine)


def _exports(task: Task, *, is_there: bool) -> Iterator[tuple[Form, Precision]]:
    """Which graphs are exported; is_there: a deploy graph in FP32 is measured already."""
    for form in Form.DEPLOY, Form.PORTABLE:
        for precision in (Precision.FP32, Precision.FP16):
            is_plain = (form, precision) == (Form.DEPLOY, Precision.FP32)
            if not is_there if is_plain else task.every_way or task.device == "cuda":
                yield form, precision


def _exported(checkpoint: ResolvedModel, folder: Path, kind: tuple[Form, Precision]) -> ResolvedModel:
    """A graph of the checkpoint, exported when it is first needed."""
    from srn_deploy.graph.export import ExportOptions
    from srn_deploy.verification.export_proof import export_and_prove

    form, precision = kind
    graph = folder / f"{form}-{precision}.onnx"
    if not graph.exists():
        export_and_prove(checkpoint, graph, ExportOptions(form=form, precision=precision))
    return resolve_file(graph)


def _opened_graph(graph: OpenGraph, device: str) -> tuple[Backend, str]:
    return open_on(graph(), device)


def _opened_on_openvino(graph: OpenGraph, precision: Precision) -> tuple[Backend, str]:
    return open_on_openvino(graph(), precision)


def _candidates_on(title: str, backend: Backend, library: str, task: Task, opened: ExitStack) -> Iterator[Candidate]:
    """Resident for every batch size; from file to file, and where it differs from host to host, one image at a time."""
    spec = backend.spec
    candidate = partial(Candidate, library=library, precision=spec.precision, form=spec.form)
    cost = _cost(backend, task.size)
    for batch in task.batches:
        shape = (batch, *task.size)
        run = backend.measure(shape) if isinstance(backend, MeasuresOnDevice) else wall_clock(backend.prepare(shape))
        yield candidate(name=f"{title}, resident, batch {batch}", run=run, pictures=batch, cost=cost)
    pixels = np.random.default_rng(0).integers(0, 256, (1, *task.size, 3), dtype=np.uint8)
    takes_bytes = spec.form is not Form.DEPLOY or spec.pixel_type is PixelType.UINT8
    batch_1 = pixels if takes_bytes else pixels.astype(np.float32) / np.float32(255)
    if task.copies_to_device or task.every_way:
        yield candidate(name=f"{title}, host to host", run=wall_clock(lambda: backend.run(batch_1)), pictures=1)
    folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
    write_image(folder / "in.png", Image(pixels=pixels[0]))
    jobs = plan_jobs(folder / "in.png", folder / "out.png")
    yield candidate(name=f"{title}, file to file", run=wall_clock(partial(run_files, jobs, Setup(backend))),
                    pictures=1)


def run_files(jobs: Sequence[Job], setup: Setup) -> None:
    """Raise what an image failed with: a failure must not count as a fast pass."""
    for outcome in run_jobs(jobs, setup):
        if outcome.error is not None:
            raise outcome.error


def _cost(backend: Backend, size: Size) -> Cost | None:
    """Counted on the network, which PyTorch builds; None without PyTorch, and for a model from outside."""
    if importlib.util.find_spec("torch") is None or backend.spec.origin:
        return None
    from srn_deploy.architectures import build_from
    from srn_deploy.architectures.complexity import count

    found = count(build_from(replace(backend.spec, form=Form.CHECKPOINT)), height=size[0], width=size[1])
    width_bytes = {"fp32": 4, "int8": 1}.get(backend.spec.precision.value, 2)
    return Cost(flops=2 * found.flops, moved_bytes=2 * found.activations * width_bytes)
