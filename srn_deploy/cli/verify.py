"""`srn-deploy verify`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from srn_deploy.cli import options


@click.command(short_help="Certify an artefact against its FP32 reference.")
@click.argument("artefact", required=False)
@click.option("--against", help="Checkpoint or FP32 graph to compare with.  [default: the shipped one it is made from]")
@click.option("--images", type=options.FILE, metavar="DIR",
              help="Folder of originals.  [default: images that are drawn for it]")
@options.device
@options.weights
@options.as_json
def verify(artefact: str | None, against: str | None, images: Path | None, device: str, weights: str | None,
           as_json: bool) -> None:
    """Compare ARTEFACT, a graph or a checkpoint, with its FP32 reference on images, and write a certificate next to it.

    The exit code is 1 where it is too far off. A CPU computes FP16 in FP32 between roundings: such a certificate is
    valid for the CPU alone.
    """
    from srn_deploy.verification.verify import verify as verify_artefact

    certificate = verify_artefact(artefact, against=against, images=images, device=device, weights=weights)
    if as_json:
        click.echo(json.dumps(certificate.as_json(), indent=2))
        return
    psnr = "no difference" if certificate.psnr_db is None else f"{certificate.psnr_db:.1f} dB"
    click.echo(f"{psnr}, worst value {certificate.worst_levels:.3g} of 255, loses {certificate.psnr_loss_db:.4f} dB "
               f"on {certificate.pictures} images")
    click.echo(f"{certificate.ran_on}; against {certificate.reference}")
    if certificate.headroom is not None:
        click.echo(f"largest activation {certificate.largest_activation:.4g} in {certificate.largest_layer}: FP16 is "
                   f"{certificate.headroom:.3g} times larger")
