"""The tree of errors: drawn as it is, each with a remedy, and able to cross processes."""

from __future__ import annotations

import ast
import inspect
import pickle
from pathlib import Path

import pytest

from srn_deploy import errors
from srn_deploy.errors import SrnDeployError

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, SrnDeployError)]
INDENT = 4  # "├── " and "│   " are four characters a level

BESIDES = {
    "PassingFault",  # of a download; the fetch catches it and tries again
    "NotCaptured",  # why there is no CUDA graph; the runner catches it and goes on without
    "DoneElsewhere",  # a file that another run has; `inference/jobs` makes an outcome of it
    "InvalidPickle",  # a damaged pickle; `torch_file` translates it
    "ValueError",  # a caller inside the project broke a promise
    "AttributeError",  # Python's own protocol for a name that a module does not have
    "KeyboardInterrupt",  # a Ctrl-C that was held back until files were whole
    "OSError",  # as open() raises it; translated by the room that knows what the file was for
}


def drawn_tree() -> dict[str, str | None]:
    """Each class of the docstring's drawing with the class above it."""
    parents: dict[str, str | None] = {}
    above: list[str] = []
    lines = [line for line in (errors.__doc__ or "").splitlines() if line.startswith(("SrnDeployError", "│", "├", "└"))]
    for line in lines:
        stem = line.lstrip("│├└─ ")
        depth, name = (len(line) - len(stem)) // INDENT, stem.split()[0]
        above[depth:] = [name]
        parents[name] = above[depth - 1] if depth else None
    return parents


def real_tree() -> dict[str, str | None]:
    return {kind.__name__: kind.__bases__[0].__name__ if kind is not SrnDeployError else None for kind in KINDS}


def raised_names(source: Path) -> list[tuple[int, str]]:
    """Line and class of every `raise Name(...)`; functions that build an error are written in lower case."""
    found = []
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            name = ast.unparse(node.exc.func).rpartition(".")[2]
            if name.lstrip("_")[:1].isupper():
                found.append((node.lineno, name))
    return found


def test_the_drawn_tree_is_the_real_one() -> None:
    assert drawn_tree() == real_tree()


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_without_a_remedy_cannot_be_made(kind: type[SrnDeployError]) -> None:
    with pytest.raises(TypeError, match="remedy"):
        kind("what happened")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="needs a remedy"):
        kind("what happened", remedy="")


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_shows_what_happened_and_then_what_to_do(kind: type[SrnDeployError]) -> None:
    assert str(kind("The cup is empty.", remedy="Fill it.")) == "The cup is empty.\nFill it."


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_the_way_to_another_process(kind: type[SrnDeployError]) -> None:
    returned = pickle.loads(pickle.dumps(kind("The cup is empty.", remedy="Fill it.")))
    assert type(returned) is kind
    assert (returned.message, returned.remedy) == ("The cup is empty.", "Fill it.")


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_says_in_one_sentence_what_it_means(kind: type[SrnDeployError]) -> None:
    assert (kind.__doc__ or "").splitlines()[0].endswith(".")


def test_only_errors_of_the_tree_are_raised(repository: Path) -> None:
    package = repository / "srn_deploy"
    allowed = {kind.__name__ for kind in KINDS} | BESIDES
    # The command line ends in click's own exceptions: wrong usage, exit codes.
    sources = [path for path in sorted(package.rglob("*.py")) if not path.is_relative_to(package / "cli")]
    strangers = [f"{source.relative_to(repository)}:{line} raises {name}"
                 for source in sources for line, name in raised_names(source) if name not in allowed]
    assert strangers == []


@pytest.mark.parametrize(("name", "kind"), [
    ("OutOfMemory", errors.OutOfMemory), ("SystemExit", errors.GraphError), ("annotations", errors.GraphError)])
def test_an_error_that_another_process_reports_is_one_of_the_tree(name: str, kind: type[errors.SrnDeployError]) -> None:
    assert type(errors.error_named(name, "It failed.", "Mend it.")) is kind
