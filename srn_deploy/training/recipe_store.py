"""The recipes that are shipped, as files; readable without PyTorch."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path

from srn_deploy.errors import OptionError

RECIPES = "srn_deploy.training.recipes"


def shipped_recipes() -> dict[str, str]:
    """Name to title, sorted by name."""
    names = sorted(entry.name.removesuffix(".toml") for entry in resources.files(RECIPES).iterdir()
                   if entry.name.endswith(".toml"))
    return {name: tomllib.loads(_text(name))["title"] for name in names}


def recipe_text(name_or_path: str) -> str:
    """The text of a shipped recipe, or of any TOML file; raises OptionError with the list of names."""
    path = Path(name_or_path)
    if path.suffix == ".toml" and path.is_file():
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise OptionError(f"Recipe {path} cannot be read: {error}.", remedy="Give a text file in UTF-8.") from error
    shipped = shipped_recipes()
    if name_or_path in shipped:
        return _text(name_or_path)
    raise OptionError(f"There is no recipe {name_or_path!r}.",
                      remedy=f"Shipped are: {', '.join(shipped)}. Or give a .toml file.")


def _text(name: str) -> str:
    return resources.files(RECIPES).joinpath(f"{name}.toml").read_text(encoding="utf-8")
