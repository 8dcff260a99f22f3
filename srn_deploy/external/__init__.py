"""Models from outside: the user's own network code, graphs of other tools, checkpoints that spandrel knows.

Each becomes once a graph of ours, with its spec, which lies in the cache; from then on everything sees only that graph.
Code of others runs in a bounded process alone.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from srn_deploy.errors import OptionError
from srn_deploy.external.request import ExternalRequest
from srn_deploy.external.spandrel_offer import is_offered, spandrel_version
from srn_deploy.registry.file_content import holds
from srn_deploy.registry.resolve import ModelKind, ResolvedModel, resolve_file
from srn_deploy.spec import SPEC_KEY
from srn_deploy.system.hashing import sha256_of_file
from srn_deploy.system.installed import need_packages

if TYPE_CHECKING:
    from srn_deploy.external.store import KeptGraph
    from srn_deploy.graph.export import ExportOptions
    from srn_deploy.verification.export_proof import Exported

__all__ = ["export_external", "is_external", "prepared", "with_spec"]


def is_external(model: ResolvedModel) -> bool:
    """Whether a model comes from outside: a checkpoint whose class the user names or that spandrel is asked about,
    because no network here fits it, or a graph without our spec."""
    if model.kind is ModelKind.CHECKPOINT:
        return model.corrections.network is not None or is_offered(model)
    return model.kind is ModelKind.GRAPH and not holds(model.path, SPEC_KEY.encode())


def with_spec(model: ResolvedModel) -> ResolvedModel:
    """The graph that was made of a model from outside, at its first use now; any other model as it is.

    Raises OptionError, a CheckpointError, BackendError, UnsuitableNetwork and GraphError where that cannot be done.
    """
    return resolve_file(prepared(model).path) if is_external(model) else model


def prepared(model: ResolvedModel, options: ExportOptions | None = None) -> KeptGraph:
    """The graph of a model from outside, from the cache or made now. options: which kind; None: the deploy graph."""
    need_packages(("torch", "onnx", "onnxscript", "safetensors"), f"Preparing {model.path.name}")
    from srn_deploy.external.graph_weights import weight_files
    from srn_deploy.external.source_files import find_source, source_digest
    from srn_deploy.external.store import kept_graph

    given = model.corrections
    request = ExternalRequest(source=str(model.path.absolute()), output="", network=given.network or "",
                              settings=dict(given.options), value_range=given.value_range, weights=given.weights,
                              trust=given.trust)
    if options is not None:
        request = replace(request, form=options.form.value, precision=options.precision.value,
                          pixel_type=options.pixel_type.value)
    identity = [model.sha256]
    if model.kind is ModelKind.GRAPH:
        identity += [sha256_of_file(file) for file in weight_files(model.path) if file.is_file()]
    if given.network is not None:
        if model.kind is ModelKind.GRAPH:
            raise OptionError(f"{model.path.name} is a graph: it holds its network.", remedy="Leave out --network.")
        source = find_source(given.network)
        request = replace(request, network=f"{source.file}:{source.class_name}")
        identity.append(source_digest(source))
    elif model.kind is ModelKind.CHECKPOINT:
        request = replace(request, spandrel=spandrel_version())
    return kept_graph(request, identity)


def export_external(model: ResolvedModel, output: Path, options: ExportOptions) -> Exported:
    """Write the graph of a model from outside to a file of the user's; raises as `prepared` and `export_and_prove`."""
    from srn_deploy.verification.agreement import Agreement
    from srn_deploy.verification.export_proof import check_graph_name, exported_copy

    check_graph_name(output)
    kept = prepared(model, options)
    answer = kept.answer
    agreement = Agreement(images=answer.images, worst_levels=answer.worst_levels,
                          psnr_db=float("inf") if answer.psnr_db is None else answer.psnr_db)
    return exported_copy(kept.path, output, agreement, answer.nodes)
