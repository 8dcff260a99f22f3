"""`srn-deploy recipes`."""

from __future__ import annotations

import json

import click

from srn_deploy.cli import options


@click.command(short_help="List the shipped recipes, or show one.")
@click.argument("name", required=False)
@options.as_json
def recipes(name: str | None, as_json: bool) -> None:
    """List the shipped recipes, or print the file of the recipe NAME, to be read or changed in a copy."""
    from srn_deploy.training.recipe_store import recipe_text, shipped_recipes

    if name and as_json:
        click.echo(json.dumps({"name": name, "toml": recipe_text(name)}, indent=2))
    elif name:
        click.echo(recipe_text(name), nl=False)
    elif as_json:
        click.echo(json.dumps([{"name": each, "title": title} for each, title in shipped_recipes().items()], indent=2))
    else:
        width = max(map(len, shipped_recipes()))
        for each, title in shipped_recipes().items():
            click.echo(f"{each:{width}}  {title}")
