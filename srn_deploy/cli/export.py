"""`srn-deploy export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from srn_deploy.cli import options, values

if TYPE_CHECKING:
    from srn_deploy.graph.export import ExportOptions
    from srn_deploy.registry.resolve import ResolvedModel
    from srn_deploy.spec import Corrections


@click.command(short_help="Turn a checkpoint into an ONNX graph that is proved.")
@click.argument("checkpoint", required=False)
@click.option("-o", "--output", type=options.OUTPUT, callback=values.with_suffix(".onnx"),
              help="The .onnx file.  [default: named after the checkpoint, here]")
@click.option("--portable", is_flag=True, help="One float32 NCHW input in 0..1, for any runtime; not for tiles.")
@click.option("--fp16", is_flag=True, help="Compute in half precision; inputs and outputs keep their types.")
@click.option("--int8", is_flag=True, help="Compute convolutions in 8 bits, calibrated on images; see --calibrate.")
@click.option("--calibrate", type=options.FILE, metavar="FOLDER",
              help="For --int8: images such as the model will be given.  [default: images that are drawn]")
@click.option("--io", "pixel_type", type=click.Choice(["uint8", "float32"]), default="uint8", show_default=True,
              help="Pixels of the deploy graph; float32 keeps all bits of 16-bit images.")
@options.corrections
def export(checkpoint: str | None, output: Path | None, portable: bool, fp16: bool, int8: bool,
           calibrate: Path | None, pixel_type: str, corrections: Corrections) -> None:
    """Export a trained PyTorch CHECKPOINT to an ONNX graph, and prove that both compute the same.

    CHECKPOINT is a file or a model's name; without it the default model is exported.
    """
    if fp16 and int8:
        raise click.UsageError("--fp16 and --int8 both say what the graph computes in; give one of them.")
    if calibrate is not None and not int8:
        raise click.UsageError("--calibrate is for --int8, which is missing.")
    options.need_torch("Exporting")
    from srn_deploy.external import export_external, is_external
    from srn_deploy.graph.export import ExportOptions
    from srn_deploy.registry.resolve import ModelKind, resolve
    from srn_deploy.spec import Form, PixelType, Precision
    from srn_deploy.verification.export_proof import default_graph_path, export_and_prove

    chosen = ExportOptions(form=Form.PORTABLE if portable else Form.DEPLOY, pixel_type=PixelType(pixel_type),
                           precision=Precision.FP16 if fp16 else Precision.INT8 if int8 else Precision.FP32)
    model = resolve(checkpoint, corrections, wanted=ModelKind.CHECKPOINT)
    if int8:
        _export_int8(model, output or default_graph_path(model.path, chosen), chosen, calibrate)
        return
    make = export_external if is_external(model) else export_and_prove
    exported = make(model, output or default_graph_path(model.path, chosen), chosen)
    reference = "the original" if model.kind is ModelKind.GRAPH else "PyTorch"
    click.echo(f"Against {reference}: {exported.agreement}; {exported.nodes} nodes.", err=True)
    click.echo(str(exported.path))


def _export_int8(model: ResolvedModel, output: Path, chosen: ExportOptions, calibrate: Path | None) -> None:
    from srn_deploy.quantization.export import export_int8

    made = export_int8(model, output, chosen, calibrate)
    found = made.certificate
    far = "no difference" if found.psnr_db is None else f"{found.psnr_db:.1f} dB"
    lost = max(0.0, found.psnr_loss_db or 0.0)
    click.echo(f"Against FP32: {far}, {lost:.3f} dB PSNR lost on {found.pictures} images; calibrated "
               f"on {made.calibrated_on}; {made.nodes} nodes.", err=True)
    click.echo(str(made.path))
