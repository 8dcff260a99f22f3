"""`srn-deploy engines`."""

from __future__ import annotations

import json

import click

from srn_deploy.cli import options


@click.group()
def engines() -> None:
    """List the engines in the cache, or clean it up."""


@engines.command("list", short_help="List the engines, and whether they are certified.")
@options.as_json
def list_engines(as_json: bool) -> None:
    """List the engines: file, model, precision, runtime, where they run, and whether they are certified."""
    from srn_deploy.engine.manifest import manifest_as_json
    from srn_deploy.engine.store import EngineStore

    store = EngineStore()
    found = store.engines()
    if as_json:
        entries = [{"file": str(engine.path), **manifest_as_json(engine.manifest)} for engine in found]
        click.echo(json.dumps(entries, indent=2))
        return
    click.echo(f"{len(found)} engine{'' if len(found) == 1 else 's'} in {store.folder}", err=True)
    for engine in found:
        identity = engine.manifest.identity
        click.echo(f"{engine.path.name}  {identity.runtime} {identity.version}  for {identity.target}  "
                   f"{engine.manifest.engine_bytes / 1e6:.1f} MB  {engine.certification}")


@engines.command(short_help="Remove damaged engines, or every engine.")
@click.option("--all", "everything", is_flag=True, help="Remove every engine; each is built again when needed.")
def prune(everything: bool) -> None:
    """Remove damaged and half-written engines, and with --all every engine."""
    from srn_deploy.engine.store import EngineStore

    for path in EngineStore().prune(everything=everything):
        click.echo(f"Removed {path}")
