"""The sections of the GPU report: each measures one thing and returns rows, or raises what stands in its way."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.inputs import BENCHMARKS
from srn_deploy.backends import Backend, open_on
from srn_deploy.benchmark.candidates import Pass, alternated, wall_clock
from srn_deploy.benchmark.machine import ceilings
from srn_deploy.benchmark.summary import summarise
from srn_deploy.engine.library import Runtime, open_library
from srn_deploy.engine.store import EngineStore, StoredEngine
from srn_deploy.engine_request import EngineRequest, request_engine
from srn_deploy.errors import MissingPackage, SrnDeployError
from srn_deploy.image import read_image
from srn_deploy.inference.upscale import upscale_rgb
from srn_deploy.registry.resolve import resolve, resolve_file
from srn_deploy.spec import Precision
from srn_deploy.system.cuda_driver import why_no_gpu
from srn_deploy.tiling.windows import TileOptions

Rows = Iterator[dict[str, Any]]
"""Each as soon as it is known."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much is done."""

    size: tuple[int, int]
    """(height, width) of the input; full is a DIV2K x4 test input of the most frequent size."""
    rounds: int
    warm_ups: int
    on_gpu: bool


FULL = Scale(size=(339, 510), rounds=50, warm_ups=20, on_gpu=True)
REDUCED = Scale(size=(48, 64), rounds=3, warm_ups=1, on_gpu=False)


def timed(passes: Mapping[str, Pass], scale: Scale,
          first: Mapping[str, list[float]] | None = None) -> list[dict[str, Any]]:
    """Warm up, then run all in turn (A B C A B C …); one row for each, in milliseconds."""
    for run in passes.values():
        for _ in range(scale.warm_ups):
            run()
    samples = alternated(passes, scale.rounds)
    return [{"what": name, **_milliseconds(series), **({"mean_without_warm_up_ms": float(np.mean(first[name]))}
             if first and name in first else {})} for name, series in samples.items()]


def _milliseconds(series: list[float]) -> dict[str, float]:
    summary = asdict(summarise(series))
    return {"samples": summary.pop("samples"), **{f"{name}_ms": value for name, value in summary.items()}}


def pytorch(scale: Scale) -> Rows:
    """Each network as the authors ran them, in FP16 channels last, in that with a CUDA graph, and some compiled.

    The authors' way: FP32 eager, NCHW, cuDNN's defaults (TF32 on, benchmark off), device events; the mean of the
    first passes is kept next to the median after warm-up. What runs in FP16 gets its share of the highest rate of
    FP16 products, which is measured first.
    """
    from benchmarks import gpu_torch

    gflops = ceilings("cuda").gflops if scale.on_gpu else 0.0
    for name, (architecture, options) in gpu_torch.networks().items():
        passes = {f"{name}: {way}": run for way, run in gpu_torch.ways(
            architecture, options, scale.size, on_gpu=scale.on_gpu, compiled=name in gpu_torch.COMPILED).items()}
        authors = next(iter(passes))
        rows = timed(passes, scale, {authors: [passes[authors]() for _ in range(scale.rounds)]})
        for row in rows[1:] if gflops else ():
            row["share_of_compute"] = gpu_torch.roofline(architecture, options, scale.size, row["median_ms"], gflops)
        yield from rows


def onnx_runtime(scale: Scale) -> Rows:
    """The default model's deploy graph, resident, and from host to host."""
    backend, title = open_on(resolve(), "cuda" if scale.on_gpu else "cpu")
    with closing(backend):
        yield from timed(_ways(backend, title, scale), scale)


def tensorrt(scale: Scale) -> Rows:
    """TensorRT: build, certificate, tiling and time in both precisions."""
    return _engines(Runtime.TENSORRT, scale)


def tensorrt_rtx(scale: Scale) -> Rows:
    """The same for TensorRT-RTX; without a GPU the build alone."""
    return _engines(Runtime.TENSORRT_RTX, scale)


def _engines(runtime: Runtime, scale: Scale) -> Rows:
    open_library(runtime)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
        passes: dict[str, Pass] = {}
        for precision in (Precision.FP32, Precision.FP16):
            row, engine = _built(runtime, precision, EngineStore(Path(folder)))
            yield row
            if engine is not None and engine.manifest.certificate is not None:
                backend, title = open_on(resolve_file(engine.path), "cuda")
                opened.callback(backend.close)
                yield _tiling(backend, title)
                passes |= _ways(backend, title, scale) | _engine_ways(engine, title, scale, opened)
        rows = timed(passes, scale)
        yield from rows
        yield from runner_costs(rows)


def _engine_ways(engine: StoredEngine, title: str, scale: Scale, opened: ExitStack) -> dict[str, Pass]:
    """Resident passes by the clock of the GPU alone, as trtexec counts them, and without a CUDA graph."""
    from srn_deploy.backends.tensor_rt import open_engine

    shape = (1, *scale.size)
    measured, plain = open_engine(engine.path), open_engine(engine.path)
    opened.callback(measured.close)
    opened.callback(plain.close)
    plain._graphs = None
    return {f"{title}: resident, the GPU's own clock": measured.measure(shape),
            f"{title}: resident, no CUDA graph": wall_clock(plain.prepare(shape))}


def runner_costs(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """How many times as long a pass takes from host to host as one that is resident."""
    times = {row["what"]: row["median_ms"] for row in rows}
    return [{"what": f"{title}: host to host / resident", "ratio": took / times[f"{title}: resident"]}
            for what, took in times.items() if (title := what.removesuffix(": host to host")) != what]


def _built(runtime: Runtime, precision: Precision, store: EngineStore) -> tuple[dict[str, Any], StoredEngine | None]:
    """A row about the build and its certificate, and the engine if there is one."""
    began = time.perf_counter()
    request = EngineRequest(precision=precision, runtime=runtime.value, shapes=("15x15..512x640@339x510",))
    try:
        engine = request_engine(None, request, store)
    except SrnDeployError as error:
        return {"what": f"{precision}: not built", "why": error.message}, None
    row = {"what": f"{precision}: built", "seconds": time.perf_counter() - began,
           "bytes": engine.manifest.engine_bytes, "convolutions": str(engine.manifest.convolutions)}
    certificate = engine.manifest.certificate
    if certificate is None:
        return row | {"told": f"Not yet certified: {_why_not_certified(engine)}"}, engine
    return row | {name: getattr(certificate, name) for name in
                  ("psnr_db", "worst_levels", "psnr_loss_db", "passed", "ran_on", "gpu")}, engine


def _why_not_certified(engine: StoredEngine) -> str:
    """Why an engine does not run here, or that it has no reference."""
    try:
        backend, _ = open_on(resolve_file(engine.path), "cuda")
    except SrnDeployError as error:
        return error.message
    backend.close()
    return "It runs, but there is no reference to compare it with."


def _ways(backend: Backend, title: str, scale: Scale) -> dict[str, Pass]:
    """Resident, and from host to host."""
    pixels = np.random.default_rng(0).integers(0, 256, (1, *scale.size, 3), dtype=np.uint8)
    return {f"{title}: resident": wall_clock(backend.prepare((1, *scale.size))),
            f"{title}: host to host": wall_clock(lambda: _void(backend.run(pixels)))}


def _void(value: object) -> None:
    """Forget a result."""


def _tiling(backend: Backend, title: str) -> dict[str, Any]:
    """Tiles against the whole picture, in levels of 0..255."""
    picture = read_image(BENCHMARKS / "pictures/demo.png").as_rgb8()[:339, :510]
    whole = upscale_rgb(picture, backend).astype(int)
    difference = np.abs(upscale_rgb(picture, backend, TileOptions(tile=96)) - whole)
    return {"what": f"{title}: tiles of 96 px against the whole", "worst_levels": int(difference.max()),
            "share_beyond_one_level": float((difference > 1).mean())}


def copies(scale: Scale) -> Rows:
    """Pinned memory to the GPU and back through PyCUDA, as the runner does it: the bytes must be the same."""
    if reason := why_no_gpu():
        raise MissingPackage(f"PyCUDA needs a GPU to be loaded: {reason}.", remedy="Run it where there is one.")
    from srn_deploy.backends.cuda_session import open_session

    with closing(open_session()) as session, session.current():
        there, back = (session.pinned((2**26,), "uint8") for _ in range(2))
        there[...] = np.random.default_rng(0).integers(0, 256, there.size, dtype=np.uint8)
        memory = session.allocate(there.nbytes)

        def copy_there() -> None:
            session.to_device(memory, there)
            session.wait()

        def copy_back() -> None:
            session.to_host(back, memory)
            session.wait()

        yield from timed({"64 MiB to the GPU": wall_clock(copy_there), "64 MiB back": wall_clock(copy_back)}, scale)
        memory.free()
        yield {"what": "the same bytes came back", "equal": bool((there == back).all())}


def tests(scale: Scale) -> Rows:
    """pytest's own last line on tests/gpu."""
    if importlib.util.find_spec("pytest") is None:
        raise MissingPackage("tests/gpu needs pytest, which is not installed.", remedy="pip install pytest")
    ended = subprocess.run([sys.executable, "-m", "pytest", "-q", "-rfEs", "-p", "no:cacheprovider", "tests/gpu"],
                           cwd=BENCHMARKS.parent, capture_output=True, text=True, check=False)
    lines = ended.stdout.strip().splitlines() or [ended.stderr.strip()[-300:]]
    failures = [line for line in lines if line.startswith(("FAILED", "ERROR", "SKIPPED"))]
    yield {"what": lines[-1], "exit_code": ended.returncode, "told": "; ".join(failures)[:1500]}

