"""One name means one thing, and a function takes no more than can be kept in mind."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_house import Source, functions, package_sources

MAX_PARAMETERS = 6


def defined_names(tree: ast.Module) -> Iterator[str]:
    """Top-level classes and type aliases: names in CamelCase."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield node.name
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) \
            else []
        yield from (target.id for target in targets
                    if isinstance(target, ast.Name) and target.id[0].isupper() and not target.id.isupper())


def shared_names(sources: list[Source]) -> dict[str, list[str]]:
    """Names that more than one file defines, with the files."""
    homes: dict[str, list[str]] = defaultdict(list)
    for source in sources:
        for name in defined_names(source.tree):
            homes[name].append(f"{source.name}.py")
    return {name: found for name, found in homes.items() if len(found) > 1}


def test_no_two_classes_or_type_aliases_share_a_name(repository: Path) -> None:
    assert shared_names(package_sources(repository)) == {}


@pytest.mark.parametrize(("code", "names"), [
    ("class Pair:\n    class Inner: ...", ["Pair"]),
    ("Pixels = int", ["Pixels"]),
    ("Tell: type = int", ["Tell"]),
    ("LIMIT = 1\n_log = 2\nX: int = 3", []),
    ("def f():\n    Local = int", []),
])
def test_a_name_is_found_however_it_is_defined(code: str, names: list[str]) -> None:
    assert list(defined_names(ast.parse(code))) == names


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """The names of all parameters but self and cls."""
    given = function.args
    every = [*given.posonlyargs, *given.args, given.vararg, *given.kwonlyargs, given.kwarg]
    return [one.arg for one in every if one is not None and one.arg not in ("self", "cls")]


def test_no_function_has_more_than_six_parameters(repository: Path) -> None:
    # A command of the command line has as many as it has options.
    crowded = [f"{source.name}.py:{function.lineno} {function.name}: {len(parameters(function))} parameters"
               for source in package_sources(repository) if source.package != "cli"
               for function in functions(source.tree) if len(parameters(function)) > MAX_PARAMETERS]
    assert crowded == []


def test_every_kind_of_parameter_counts() -> None:
    (function,) = functions(ast.parse("def f(self, a, /, b, *c, d=1, **e): ..."))
    assert parameters(function) == ["a", "b", "c", "d", "e"]
