"""`srn-deploy export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from srn_deploy.cli import options, values

if TYPE_CHECKING:
    from srn_deploy.spec import Corrections


@click.command()
@click.argument("checkpoint", required=False)
@click.option("-o", "--output", type=options.OUTPUT, callback=values.with_suffix(".onnx"),
              help="The .onnx file.  [default: named after the checkpoint, here]")
@click.option("--portable", is_flag=True, help="One float32 NCHW input in 0..1, for any runtime; not for tiles.")
@click.option("--fp16", is_flag=True, help="Compute in half precision; inputs and outputs keep their types.")
@click.option("--io", "pixel_type", type=click.Choice(["uint8", "float32"]), default="uint8", show_default=True,
              help="Pixels of the deploy graph; float32 keeps all bits of 16-bit images.")
@options.corrections
def export(checkpoint: str | None, output: Path | None, portable: bool, fp16: bool, pixel_type: str,
           corrections: Corrections) -> None:
    """Export a trained PyTorch CHECKPOINT to an ONNX graph, and prove that both compute the same.

    CHECKPOINT is a file or a model's name; without it the default model is exported.
    """
    options.need_torch("Exporting")
    from srn_deploy.external import export_external, is_external
    from srn_deploy.graph.export import ExportOptions
    from srn_deploy.registry.resolve import ModelKind, resolve
    from srn_deploy.spec import Form, PixelType, Precision
    from srn_deploy.verification.export_proof import default_graph_path, export_and_prove

    chosen = ExportOptions(form=Form.PORTABLE if portable else Form.DEPLOY, pixel_type=PixelType(pixel_type),
                           precision=Precision.FP16 if fp16 else Precision.FP32)
    model = resolve(checkpoint, corrections, wanted=ModelKind.CHECKPOINT)
    make = export_external if is_external(model) else export_and_prove
    exported = make(model, output or default_graph_path(model.path, chosen), chosen)
    reference = "the original" if model.kind is ModelKind.GRAPH else "PyTorch"
    click.echo(f"Against {reference}: {exported.agreement}; {exported.nodes} nodes.", err=True)
    click.echo(str(exported.path))
