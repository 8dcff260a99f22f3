"""One checkpoint with its authors' class: prepared, measured against their figure, tiled, and built as an engine.

`benchmarks.zoo_study` runs this in a process of its own, which it can end.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx

from benchmarks.inputs import EXAMPLE_PICTURE, data_path
from benchmarks.zoo_results import EXACT, LOCAL, WHOLE, Case, Question
from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend
from srn_deploy.engine.build import build_engine, read_graph
from srn_deploy.engine.library import open_library
from srn_deploy.engine.options import BuildOptions, default_shapes
from srn_deploy.engine.store import EngineStore
from srn_deploy.errors import EngineNotBuilt, NotHalfPrecision, SrnDeployError
from srn_deploy.external import with_spec
from srn_deploy.graph.float_pixels import with_float_pixels
from srn_deploy.graph.onnx_file import save_graph
from srn_deploy.image import read_image
from srn_deploy.inference.upscale import upscale_rgb
from srn_deploy.quality.evaluate import evaluate_pairs
from srn_deploy.quality.pairs import find_pairs
from srn_deploy.registry.resolve import resolve_file
from srn_deploy.spec import Corrections, ModelSpec, Precision
from srn_deploy.system.bounded_process import answer_request
from srn_deploy.system.documents import decode_json, to_builtins
from srn_deploy.tiling.windows import WHOLE_IMAGE, TileOptions

Result = TypeVar("Result")

TILE_PX = 96
"""The side that a tile contributes, so that the image is cut into nine."""

CUT_PX = (281, 299)
"""Height and width of what is tiled: no multiple of any grid."""

def examined(question: Question) -> Case:
    """Measure one checkpoint; a refusal is a result."""
    clock = _Clock()
    corrections = replace(Corrections.parse(question.settings), network=question.network)
    try:
        model = clock.timed("prepare", lambda: with_spec(resolve_file(Path(question.checkpoint), corrections)))
    except SrnDeployError as error:
        return Case(refusal=f"{error.message} {error.remedy}", seconds=clock.seconds)
    with closing(OnnxRuntimeBackend(model.path)) as backend:
        spec = backend.spec
        found = Case(scale=spec.scale, value_range=spec.value_range, recognised=spec.recognised,
                     size_multiple_px=spec.size_multiple_px, tiling=way_of_tiling(spec), halo_px=spec.halo_px,
                     grids=tuple(f"{grid.cell_px} px, {grid.interpolation}" for grid in spec.grids))
        if question.with_data:
            found = replace(found, psnr_db=clock.timed("set5", lambda: set5(backend)))
            if not spec.pools_whole_picture:
                found = replace(found, worst_tile_levels=clock.timed("tiles", lambda: worst_tile_levels(model.path)))
    try:
        convolutions = clock.timed("engine", lambda: half_precision_engine(model.path, spec))
    except (EngineNotBuilt, NotHalfPrecision) as error:
        return replace(found, engine_refusal=f"{error.message} {error.remedy}", seconds=clock.seconds)
    return replace(found, convolutions=convolutions, seconds=clock.seconds)


def way_of_tiling(spec: ModelSpec) -> str:
    """One of EXACT, LOCAL and WHOLE."""
    if spec.pools_whole_picture:
        return WHOLE
    return EXACT if spec.grids else LOCAL


def set5(backend: OnnxRuntimeBackend) -> float | None:
    """PSNR on Y in dB; None for a scale that is not among the real data."""
    if backend.spec.scale not in (2, 4):
        return None
    folder = data_path(f"images/Set5/x{backend.spec.scale}")
    return evaluate_pairs(backend, find_pairs(folder / "HR", folder / "LR", backend.spec.scale)).psnr_db


def worst_tile_levels(graph: Path) -> float:
    """The largest difference between a photograph in tiles, with the halo of the spec, and whole: of the values before
    they are rounded, in 8-bit levels."""
    height, width = CUT_PX
    image = read_image(data_path(EXAMPLE_PICTURE)).as_rgb8()[:height, :width].astype(np.float32) / np.float32(255)
    with tempfile.TemporaryDirectory() as folder:
        exact = Path(folder) / "float.onnx"
        save_graph(with_float_pixels(onnx.load(graph)), exact)
        with closing(OnnxRuntimeBackend(exact)) as backend:
            tiled, whole = (upscale_rgb(image, backend, options)
                            for options in (TileOptions(tile=TILE_PX), WHOLE_IMAGE))
    return float(np.abs(tiled - whole).max() * 255)


def half_precision_engine(graph: Path, spec: ModelSpec) -> dict[str, int]:
    """Build it with TensorRT-RTX, as `build-engine --fp16` does, and count its convolutions by their type."""
    with tempfile.TemporaryDirectory() as folder:
        options = BuildOptions(precision=Precision.FP16, shapes=(default_shapes(spec),))
        engine = build_engine(read_graph(graph), options, open_library("tensorrt-rtx"), EngineStore(Path(folder)))
        return dict(engine.manifest.convolutions)


class _Clock:
    """Wall clock of named parts, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def timed(self, name: str, work: Callable[[], Result]) -> Result:
        """Do the work and keep how long it took, a failure included."""
        start = time.perf_counter()
        try:
            return work()
        finally:
            self.seconds[name] = round(time.perf_counter() - start, 1)


def _answer(request: bytes) -> bytes:
    question = decode_json(request, Question, lambda fault: EngineNotBuilt(fault, remedy="Report this."))
    return json.dumps(to_builtins(examined(question))).encode()


if __name__ == "__main__":
    answer_request(_answer)
