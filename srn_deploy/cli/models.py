"""`srn-deploy models`."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from srn_deploy.cli import options


@click.command()
@options.as_json
def models(as_json: bool) -> None:
    """List the shipped models; the default one is marked."""
    from srn_deploy.model_store import default_model, shipped_models

    default = default_model()
    if as_json:
        click.echo(json.dumps({"default": default, "models": [asdict(m) for m in shipped_models().values()]}, indent=2))
        return
    for model in shipped_models().values():
        mark = "*" if model.name == default else " "
        click.echo(f"{mark} {model.name}  x{model.scale}  {model.title}  ({model.licence})")
