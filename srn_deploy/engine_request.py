"""From what a user asks for to an engine: resolve or export the model, read or fit the shapes, build, certify."""

from __future__ import annotations

import logging
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from srn_deploy.backends import open_on
from srn_deploy.engine.build import GraphToBuild, build_engine, read_graph
from srn_deploy.engine.library import open_library
from srn_deploy.engine.monitor import OnPhase
from srn_deploy.engine.options import BuildOptions, HardwareCompatibility, default_shapes
from srn_deploy.engine.store import EngineStore, StoredEngine
from srn_deploy.errors import BackendError, ForeignEngine, MissingPackage, OptionError
from srn_deploy.external import with_spec
from srn_deploy.image import find_images, image_size
from srn_deploy.registry.resolve import ModelKind, ResolvedModel, resolve, resolve_file
from srn_deploy.spec import AS_RECOGNISED, Corrections, ModelSpec, Precision
from srn_deploy.system.installed import need_packages
from srn_deploy.tiling.shapes import ShapeRange, Size
from srn_deploy.verification.verify import ensure_certified, reference_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EngineRequest:
    """The options of `srn-deploy build-engine`; they are checked when they become BuildOptions."""

    precision: Precision | None = None
    """None keeps that of the graph."""
    shapes: tuple[str, ...] = ()
    fit: Path | None = None
    """A folder of images that the engine must take, instead of shapes."""
    largest_batch: int = 1
    tf32: bool = False
    optimization_level: int = 3
    hardware_compatibility: str = HardwareCompatibility.NONE.value
    compute_capabilities: tuple[str, ...] = ()
    runtime: str = "auto"
    corrections: Corrections = AS_RECOGNISED
    """What the user knows better than a checkpoint."""

    def options(self, spec: ModelSpec, taken: ShapeRange | None = None) -> BuildOptions:
        """The options to build one graph with; raises OptionError, and an ImageError for the images to fit.

        taken: the sizes of a graph whose sides are fixed.
        """
        if self.shapes and self.fit is not None:
            raise OptionError("Shapes are given or fitted, not both.", remedy="Leave out --shapes or --fit.")
        shapes = tuple(ShapeRange.parse(text) for text in self.shapes)
        if self.fit is not None:
            shapes = (ShapeRange.fitting([_reflected(size, spec) for size in picture_sizes(self.fit)]),)
        if taken and not all(taken.takes(*size) for one in shapes for size in (one.smallest, one.largest)):
            raise OptionError(f"The graph takes images of {taken} (height x width) alone.",
                              remedy="Leave out --shapes and --fit: larger images are tiled.")
        return BuildOptions(
            precision=self.precision or spec.precision, shapes=shapes or (taken or default_shapes(spec),),
            largest_batch=self.largest_batch, tf32=self.tf32, optimization_level=self.optimization_level,
            hardware_compatibility=HardwareCompatibility(self.hardware_compatibility),
            compute_capabilities=self.compute_capabilities)


def request_engine(model: str | None, request: EngineRequest, store: EngineStore | None = None, *,
                   on_phase: OnPhase = lambda phase: None) -> StoredEngine:
    """The engine of a model's name, a graph or a checkpoint (exported first), from the store or built now.

    It is certified at once where it can run; where it cannot, the reason is logged. Raises what resolving, exporting
    and building raise, and then leaves nothing behind; and NotCertified, then the engine stays, marked as failed.
    """
    resolved, where = with_spec(resolve(model, request.corrections)), store or EngineStore()
    graph = _graph(resolved)
    options = request.options(graph.spec, graph.taken)
    engine = build_engine(graph, options, open_library(request.runtime), where, on_phase=on_phase)
    built = resolve_file(engine.path)
    try:
        backend, title = open_on(built, "cuda")
    except (BackendError, MissingPackage, ForeignEngine) as error:
        if engine.manifest.certificate is None:
            _log.info("Not yet certified: %s It is certified before its first use.", error.message)
        return engine
    with closing(backend):
        try:
            ensure_certified(backend, built, title, against=reference_of(resolved))
        except OptionError as error:
            _log.warning("Not certified: %s", error.message)
    return where.open(engine.path)


def picture_sizes(folder: Path) -> list[Size]:
    """(height, width) of every image file under a folder, upright, from the headers; raises ImageError."""
    return [image_size(path) for path in find_images(folder)]


def _reflected(size: Size, spec: ModelSpec) -> Size:
    """The size of an image after it is reflected up to the smallest that the network takes."""
    height, width = (max(side, spec.min_side_px) for side in size)
    return height, width


def _graph(model: ResolvedModel) -> GraphToBuild:
    if model.kind is ModelKind.GRAPH:
        return read_graph(model.path, model.sha256)
    if model.kind is ModelKind.ENGINE:
        raise OptionError(f"{model.path.name} is an engine already.",
                          remedy="Give the graph or checkpoint that it was made from.")
    need_packages(("torch",), f"Exporting a checkpoint ({model.path.name})")
    from srn_deploy.verification.export_proof import export_and_prove

    with tempfile.TemporaryDirectory() as folder:
        return read_graph(export_and_prove(model, Path(folder) / f"{model.path.stem}.onnx").path)
