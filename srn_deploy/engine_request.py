"""From what a user asks for to an engine: the model found or exported, the shapes read or fitted, the build."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from srn_deploy.backends import open_on
from srn_deploy.engine.build import GraphToBuild, build_engine, read_graph
from srn_deploy.engine.library import open_library
from srn_deploy.engine.monitor import OnPhase
from srn_deploy.engine.options import BuildOptions, HardwareCompatibility, default_shapes
from srn_deploy.engine.store import EngineStore, StoredEngine
from srn_deploy.errors import BackendError, ForeignEngine, MissingPackage, OptionError, missing_package, not_correctable
from srn_deploy.image import find_images, image_size
from srn_deploy.registry.shipped import corrections_for, find_graph
from srn_deploy.spec import AS_RECOGNISED, Corrections, ModelSpec, Precision, is_engine, is_graph
from srn_deploy.tiling.shapes import ShapeRange, Size
from srn_deploy.verification.verify import ensure_certified, reference_of


@dataclass(frozen=True, kw_only=True)
class EngineRequest:
    """The options of `srn-deploy build-engine`, checked when they become BuildOptions."""

    precision: Precision | None = None
    """None: that of the graph."""
    shapes: tuple[str, ...] = ()
    fit: Path | None = None
    """A folder of pictures that the engine is to take, instead of shapes."""
    largest_batch: int = 1
    tf32: bool = False
    optimization_level: int = 3
    hardware_compatibility: str = HardwareCompatibility.NONE.value
    compute_capabilities: tuple[str, ...] = ()
    runtime: str = "auto"
    corrections: Corrections = AS_RECOGNISED
    """Of what the keys of a checkpoint cannot tell."""

    def options(self, spec: ModelSpec) -> BuildOptions:
        """For one graph; raises OptionError."""
        if self.shapes and self.fit is not None:
            raise OptionError("Shapes are given or fitted, not both.", remedy="Leave --shapes or --fit away.")
        shapes = tuple(ShapeRange.parse(text) for text in self.shapes)
        if self.fit is not None:
            shapes = (ShapeRange.fitting([_reflected(size, spec) for size in picture_sizes(self.fit)]),)
        return BuildOptions(
            precision=self.precision or spec.precision, shapes=shapes or (default_shapes(spec),),
            largest_batch=self.largest_batch, tf32=self.tf32, optimization_level=self.optimization_level,
            hardware_compatibility=HardwareCompatibility(self.hardware_compatibility),
            compute_capabilities=self.compute_capabilities)


def request_engine(model: str | None, request: EngineRequest, store: EngineStore | None = None, *,
                   tell: Callable[[str], None] = lambda line: None,
                   on_phase: OnPhase = lambda phase: None) -> StoredEngine:
    """The engine of a model's name, a graph or a checkpoint (exported first), from the store or built now.

    It is certified at once where it can run; where it cannot, `tell` says why. Raises what finding, exporting and
    building raise, then nothing is left behind; and NotCertified, then the engine stays, marked as failed.
    """
    path, where = find_graph(model), store or EngineStore()
    graph = _graph(path, corrections_for(model, request.corrections))
    options = request.options(graph.spec)
    engine = build_engine(graph, options, open_library(request.runtime), where, on_phase=on_phase)
    try:
        backend, title = open_on(engine.path, "cuda")
    except (BackendError, MissingPackage, ForeignEngine) as error:
        if engine.manifest.certificate is None:
            tell(f"Not yet certified: {error.message} It is certified before its first use.")
        return engine
    with closing(backend):
        try:
            ensure_certified(backend, engine.path, title, against=reference_of(path), tell=tell)
        except OptionError as error:
            tell(f"Not certified: {error.message}")
    return where.open(engine.path)


def picture_sizes(folder: Path) -> list[Size]:
    """(height, width) of every image file under a folder, upright, from the headers; raises ImageError."""
    return [image_size(path) for path in find_images(folder)]


def _reflected(size: Size, spec: ModelSpec) -> Size:
    """What becomes of a picture that is smaller than the network takes."""
    height, width = (max(side, spec.min_side_px) for side in size)
    return height, width


def _graph(path: Path, corrections: Corrections) -> GraphToBuild:
    if corrections and (is_graph(path) or is_engine(path)):
        raise not_correctable(path.name)
    if is_graph(path):
        return read_graph(path)
    if is_engine(path):
        raise OptionError(f"{path.name} is an engine already.", remedy="Give the graph or checkpoint it was made of.")
    if importlib.util.find_spec("torch") is None:
        raise missing_package("torch", f"Exporting a checkpoint ({path.name})")
    from srn_deploy.verification.export_proof import export_and_prove

    with tempfile.TemporaryDirectory() as folder:
        return read_graph(export_and_prove(path, Path(folder) / f"{path.stem}.onnx", corrections=corrections).path)
