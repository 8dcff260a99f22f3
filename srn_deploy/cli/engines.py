"""`srn-deploy engines`."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from srn_deploy.cli import options


@click.group()
def engines() -> None:
    """List the engines in the cache, or clean it up."""


@engines.command("list")
@options.as_json
def list_engines(as_json: bool) -> None:
    """List the engines: file, model, precision, library, where they run, and whether they are certified."""
    from srn_deploy.engine.store import EngineStore

    store = EngineStore()
    found = store.engines()
    if as_json:
        click.echo(json.dumps([{"file": str(engine.path), **asdict(engine.manifest)} for engine in found], indent=2))
        return
    click.echo(f"{len(found)} engines in {store.folder}", err=True)
    for engine in found:
        identity = engine.manifest.identity
        click.echo(f"{engine.path.name}  {identity['flavour']} {identity['version']}  for {identity['target']}  "
                   f"{engine.manifest.engine_bytes / 1e6:.1f} MB  "
                   f"{engine.certification}")


@engines.command()
@click.option("--all", "everything", is_flag=True, help="Remove every engine; each is built anew when needed.")
def prune(everything: bool) -> None:
    """Remove damaged and half-written engines, and with --all every engine."""
    from srn_deploy.engine.store import EngineStore

    for path in EngineStore().prune(everything=everything):
        click.echo(f"Removed {path}")
