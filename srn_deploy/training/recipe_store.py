"""The recipes that are shipped, as files; readable without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path

from srn_deploy.errors import OptionError
from srn_deploy.system.documents import decode_toml

RECIPES = "srn_deploy.training.recipes"


@dataclass(frozen=True, kw_only=True)
class _Heading:
    """What the list of recipes shows of each."""

    title: str


def shipped_recipes() -> dict[str, str]:
    """The names of the shipped recipes and their titles, sorted by name."""
    names = sorted(entry.name.removesuffix(".toml") for entry in resources.files(RECIPES).iterdir()
                   if entry.name.endswith(".toml"))
    damaged = partial(OptionError, remedy="Install srn-deploy again.")
    return {name: decode_toml(_text(name), _Heading, damaged).title for name in names}


def recipe_text(name_or_path: str) -> str:
    """Return the text of a shipped recipe, or of any TOML file.

    Raises OptionError for an unknown name, with the list of names, and for a file that cannot be read.
    """
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
                      remedy=f"Shipped recipes are: {', '.join(shipped)}. Or give a .toml file.")


def _text(name: str) -> str:
    return resources.files(RECIPES).joinpath(f"{name}.toml").read_text(encoding="utf-8")
