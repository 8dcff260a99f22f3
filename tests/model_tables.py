"""The tables of docs/models.md, from manifest and catalogue: `python -m tests.model_tables` writes them anew."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from srn_deploy.registry.published import published_models
from srn_deploy.registry.shipped import default_model, shipped_models

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "models.md"


def tables() -> dict[str, str]:
    """Name of each table to its text."""
    shipped = [(f"`{model.name}`{' (default)' if model.name == default_model() else ''}", f"×{model.scale}",
                model.title, f"[card](../models/{model.name}.md)") for model in shipped_models().values()]
    published = [(f"`{model.name}`", f"×{model.scale}", f"[{model.title}]({model.source})", f"0…{model.value_range:g}",
                  f"{model.size_bytes / 1e6:.1f} MB", model.licence, model.note or "–")
                 for model in published_models().values()]
    return {"shipped": _table(("name", "scale", "for what", "card"), shipped),
            "published": _table(("name", "scale", "what it is", "values", "size", "licence", "to know"), published)}


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def filled(text: str) -> str:
    """The document with the tables of today between their marks."""
    for name, table in tables().items():
        text = re.sub(rf"(<!-- {name}: begin -->\n).*?(<!-- {name}: end -->)",
                      lambda found, table=table: f"{found[1]}\n{table}\n{found[2]}",  # type: ignore[misc]
                      text, flags=re.S)
    return text


if __name__ == "__main__":
    DOCUMENT.write_text(filled(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
