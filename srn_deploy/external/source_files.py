"""Which Python files make up a network of the user's: read and hashed, never imported."""

from __future__ import annotations

import ast
import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from srn_deploy.errors import OptionError
from srn_deploy.system.hashing import sha256_of_file

_INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
_OURS = str(Path(__file__).parents[1])

_HOW = "Write --network FILE.py:CLASS, or --network package.module:CLASS."


@dataclass(frozen=True, kw_only=True)
class NetworkSource:
    """Where the class of a network stands."""

    file: Path
    class_name: str
    root: Path
    """The folder from which the file is imported: above its outermost package."""

    @property
    def module(self) -> str:
        """The dotted name under which it is imported from the root."""
        parts = self.file.relative_to(self.root).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)

    @property
    def title(self) -> str:
        """In a sentence: "RFDN in rfdn.py"."""
        return f"{self.class_name} in {self.file.name}"


def find_source(reference: str) -> NetworkSource:
    """Find the file of FILE.py:CLASS, or of package.module:CLASS in the current folder or on Python's path.

    Raises OptionError for another form, and where there is no such file.
    """
    place, _, class_name = reference.rpartition(":")
    if not place or not class_name.isidentifier():
        raise OptionError(f"--network {reference}: not of the form FILE.py:CLASS.", remedy=_HOW)
    file = Path(place) if place.endswith(".py") or os.sep in place else _module_file(place)
    if file is None or not os.path.isfile(file):  # noqa: PTH113  # Path.is_file raises for names that are too long
        kind = "file" if place.endswith(".py") else "module"
        raise OptionError(f"--network {reference}: there is no {kind} {place}.", remedy=_HOW)
    file = Path(os.path.abspath(file))  # noqa: PTH100  # links are kept: the files beside them are imported
    return NetworkSource(file=file, class_name=class_name, root=_root_of(file))


def _module_file(name: str) -> Path | None:
    """The file of a dotted name, without importing the packages around it."""
    parts = name.split(".")
    for folder in (Path.cwd(), *map(Path, sys.path)):
        for file in (folder.joinpath(*parts).with_suffix(".py"), folder.joinpath(*parts, "__init__.py")):
            if file.is_file():
                return file
    return None


def _root_of(file: Path) -> Path:
    """Above the outermost package: a folder with __init__.py, or one that the imports of the file need."""
    root = file.parent
    while (root / "__init__.py").is_file() and root != root.parent:
        root = root.parent
    level, names = _needed_by(file)
    above = [folder.parent for folder in file.parents[:-1]
             if any(name.parts[0] == folder.name and _is_module(folder.parent / name) for name in names)]
    return min([root, *file.parents[level:level + 1], *above], key=lambda folder: len(folder.parts))


def _needed_by(file: Path) -> tuple[int, list[Path]]:
    """By how many folders its relative imports go up, and the modules that it imports by absolute names, as paths."""
    nodes = list(ast.walk(_tree(file)))
    level = max((node.level for node in nodes if isinstance(node, ast.ImportFrom)), default=0)
    names = [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    names += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return level, [Path(*name.split(".")) for name in names]


def _is_module(path: Path) -> bool:
    return path.with_suffix(".py").is_file() or path.is_dir()


def source_digest(source: NetworkSource) -> str:
    """SHA-256 over the file and all files below its root that it imports, by their names and contents.

    Raises OptionError where one cannot be read.
    """
    digest = hashlib.sha256(source.class_name.encode())
    for file in sorted(_files(source)):
        try:
            content = file.read_bytes()
        except OSError as error:
            raise OptionError(f"{file} cannot be read: {error.strerror}.",
                              remedy="Check its permissions.") from error
        digest.update(f"{file.relative_to(source.root)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def imported_files() -> dict[str, str]:
    """The files with code of the user's that this process has imported, from wherever: path to SHA-256.

    Not those of Python, of installed packages and of this one.
    """
    files = {os.path.abspath(file) for module in tuple(sys.modules.values())  # noqa: PTH100  # links are kept
             if isinstance(file := getattr(module, "__file__", None), str) and os.path.isfile(file)}  # noqa: PTH113
    return {file: sha256_of_file(Path(file)) for file in sorted(files)
            if not any(Path(file).is_relative_to(folder) for folder in (*_INSTALLED, _OURS))}


def _files(source: NetworkSource) -> set[Path]:
    found: set[Path] = set()
    pending = [source.file]
    installed = any(source.root == Path(folder) for folder in _INSTALLED)
    package = source.root / source.file.relative_to(source.root).parts[0]  # others are of fixed versions there
    while pending:
        file = pending.pop()
        if file in found:
            continue
        found.add(file)
        pending += [one for one in _imported(file, source.root) if not installed or one.is_relative_to(package)]
    return found


def _tree(file: Path) -> ast.Module:
    """An empty one for a file that is not Python, which fails when it is imported."""
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, RecursionError, OSError):
        return ast.Module(body=[], type_ignores=[])


def _imported(file: Path, root: Path) -> Iterator[Path]:
    """The files below the root that a file imports; nothing for one that is not Python, which fails when imported."""
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = _from_names(node, file, root)
        else:
            continue
        for name in names:
            yield from _parts_of(name, root)


def _from_names(node: ast.ImportFrom, file: Path, root: Path) -> list[str]:
    """The modules that a `from ... import` may name, absolute."""
    base = node.module or ""
    if node.level:
        package = file.parent.relative_to(root).parts
        base = ".".join([*package[:len(package) - node.level + 1], *filter(None, [node.module])])
    return [base, *(f"{base}.{alias.name}".lstrip(".") for alias in node.names)]


def _parts_of(name: str, root: Path) -> Iterator[Path]:
    """The files that importing a dotted name runs: the packages around it and itself."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        place = root.joinpath(*parts[:end])
        for file in (place / "__init__.py", place.with_suffix(".py")):
            if place.name and file.is_file():
                yield file
