"""The rules of the code base: which package may import which, where libraries are imported, how long things may be."""

from __future__ import annotations

import ast
import functools
import re
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = "srn_deploy"

PACKAGES = ("errors", "grid", "spec", "system", "image", "tiling", "registry", "architectures", "graph", "engine",
            "backends", "inference", "video", "quality", "measurement", "quantized_graphs", "verification", "external",
            "quantization", "automatic", "tuning", "open_model", "engine_request", "describe", "api", "serving",
            "cluster", "benchmark", "doctor", "training", "report", "web", "cli")
"""Packages and top-level modules, lowest first: each imports only from those before it."""

PUBLIC_FACE = "__init__"
"""`srn_deploy/__init__.py` may show any package but the command line; `__main__.py` knows only the command line."""
STARTER = "__main__"

PLAIN = {"errors", "grid", "spec", "system", "registry", "image/containers", "tiling/shapes", "engine", "automatic",
         "tuning", "open_model", "engine_request", "describe", "benchmark/environment", "benchmark/records",
         "benchmark/results", "benchmark/summary", "benchmark/tables", "verification/verify",
         "verification/cpu_precision", "video/files", "video/options", "video/segments", "doctor", "cli", "web/options",
         "web/packages", "architectures/weights/inert_pickle", "architectures/weights/pickled_names", PUBLIC_FACE,
         STARTER}
"""Packages and files that do without arrays, so that the help text appears before numpy is loaded."""

HOMES = {
    "torch": {"architectures", "external/foreign_network", "external/merged_weights", "external/network_class",
              "external/network_run", "external/own_network", "external/spandrel_bridge", "external/worker",
              "graph/export", "backends/pytorch", "backends/pytorch_clock", "backends/pytorch_graph",
              "benchmark/machine", "benchmark/paper_protocol", "training", "doctor/probe"},
    "safetensors": {"architectures/checkpoint", "architectures/weights/file"},
    "msgspec": {"benchmark", "spec", "system/documents", "engine/identity", "engine/manifest", "engine/store"},
    "cv2": {"image"},
    "PIL": {f"image/{file}" for file in ("avif", "bmp", "cmyk", "frames", "pillow_images", "reduction", "webp")},
    "simplejpeg": {"image/jpeg"},
    "onnx": {"graph", "engine/build", "external", "quantization", "serving/bare_models"},
    "google": {"external/graph_file", "external/graph_weights", "serving/model_config"},
    "filelock": {"system/locks"},
    "pycuda": {"backends/cuda_session"},
    "cuda": {"backends/cuda_graph"},
    "onnxscript": {"graph/export"},
    "onnxruntime": {"graph/grid_probe", "graph/onnx_file", "backends/onnx_runtime", "doctor/probe",
                    "quantization/calibration"},
    "nncf": {"quantization/nncf_quantizer"},
    "openvino": {"backends/open_vino", "backends/open_vino_products"},
    "matplotlib": {"training", "benchmark/figure"},
    "pynvml": {"benchmark/machine"}, "pillow_heif": {"image/heic"}, "pillow_jxl": {"image/jpeg_xl"},
    "click": {"cli"}, "rich": {"cli"}, "spandrel": {"external/spandrel_bridge"}, "packaging": {"doctor/requirements"},
    "gradio": {"web/page", "web/server"}, **{name: {"web/server"} for name in ("uvicorn", "fastapi", "starlette")},
    "av": {"video"}, "tritonclient": {"serving"}, "triton_python_backend_utils": {"serving/server_model"},
    **{name: {"report/page"} for name in ("jinja2", "markdown_it", "markupsafe")}, "ray": {"cluster"},
    "pyarrow": {"cluster"}, "numpy": {*PACKAGES, "doctor/probe"},
}
"""Library to the packages, or single files, that may import it."""

STANDARD = {*sys.stdlib_module_names, "_typeshed"}
"""Python's own; `_typeshed` exists for the type checker only."""

LATER_LIBRARIES = {"tensorrt", "tensorrt_rtx", "pycuda", "cuda", "ray"}

NETWORK = {"urllib", "http", "socket", "ssl", "socketserver", "ftplib", "smtplib", "poplib", "imaplib", "xmlrpc",
           "webbrowser"}
"""Of Python's own: what reaches other machines; `registry/download` alone imports it. asyncio is not of them:
`doctor` runs its subprocesses with it."""

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 50
MAX_MEDIAN_LINES = 8
MAX_P90_LINES = 25

# Written in two parts, or this file would hold what it forbids.
FORBIDDEN = tuple(first + second for first, second in (
    ("/wo", "rk/"), ("/ro", "ot/"), ("/ho", "me/"), ("/Us", "ers/"), ("/opt/", "wheels"), ("/opt/", "pypi"),
    ("BRI", "EF.md"), ("DES", "IGN.md"), ("STY", "LE.md")))

NOT_PART_OF_THE_TREE = {".git", ".venv", ".venv-spandrel", ".triton-server", ".hypothesis", ".mypy_cache",
                        ".pytest_cache", ".ruff_cache", "__pycache__", "build", "dist", "runs"}


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file of the package, parsed."""

    path: Path
    name: str
    """Within the package and without suffix: `image`, `backends/pytorch`."""
    tree: ast.Module

    @property
    def package(self) -> str:
        return self.name.split("/")[0]

    @property
    def module(self) -> str:
        """Its dotted name."""
        return ".".join([PACKAGE, *self.name.split("/")]).removesuffix(f".{PUBLIC_FACE}")

    def is_in(self, places: set[str]) -> bool:
        """Whether the file, or a folder it lies in, is one of these places."""
        parts = self.name.split("/")
        return any("/".join(parts[:end]) in places for end in range(1, len(parts) + 1))


@dataclass(frozen=True, kw_only=True)
class Import:
    """One imported module, absolute, and where it is imported."""

    module: str
    place: str

    @property
    def library(self) -> str:
        return self.module.split(".")[0]

    @property
    def package(self) -> str:
        """The package or top-level module; anything else is a name that `__init__` exports."""
        name = self.module.partition(".")[2].partition(".")[0]
        return name if name in PACKAGES else PUBLIC_FACE


@functools.cache
def package_sources(repository: Path) -> list[Source]:
    root = repository / PACKAGE
    return [Source(path=path, name=path.relative_to(root).with_suffix("").as_posix(),
                   tree=ast.parse(path.read_text(encoding="utf-8")))
            for path in sorted(root.rglob("*.py"))]


def imports_of(source: Source) -> Iterator[Import]:
    """Every import, those inside functions and by name included."""
    package = [PACKAGE, *source.name.split("/")[:-1]]
    for node in ast.walk(source.tree):
        for module in _modules(node, package):
            yield Import(module=module, place=f"{source.name}.py:{getattr(node, 'lineno', 0)}")


def _modules(node: ast.AST, package: list[str]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = package[:len(package) - node.level + 1] if node.level else []
        module = ".".join([*base, *([node.module] if node.module else [])])
        # `from srn_deploy.engine import store` may name a module as well as an attribute.
        named = [f"{module}.{alias.name}" for alias in node.names] if module.startswith(PACKAGE) else []
        return named if module == PACKAGE else [module, *named]
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
        return [str(argument.value) for argument in node.args[:1] if isinstance(argument, ast.Constant)]
    return []


def may_import(importer: str, imported: str) -> bool:
    if importer == PUBLIC_FACE:
        return imported != "cli"
    if importer == STARTER or imported == PUBLIC_FACE:
        return "cli" in (importer, imported)
    return PACKAGES.index(imported) <= PACKAGES.index(importer)


def repository_files(repository: Path) -> Iterator[Path]:
    """What git would track: caches, environments and built engines are left out."""
    for path in sorted(repository.rglob("*")):
        parts = path.relative_to(repository).parts
        skipped = any(part in NOT_PART_OF_THE_TREE or part.endswith(".egg-info") for part in parts)
        cached_engine = parts[0] == "engines" and path.name not in (".gitignore", "README.md")
        if path.is_file() and not skipped and not cached_engine:
            yield path


def python_files(repository: Path) -> list[Path]:
    return [path for path in repository_files(repository) if path.suffix == ".py"]


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def span_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of statements, the docstring left out."""
    has_docstring = ast.get_docstring(function) is not None
    return len({line for statement in function.body[has_docstring:]
                for line in range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)})


def test_every_package_has_its_place_in_the_order(repository: Path) -> None:
    assert {source.package for source in package_sources(repository)} - {PUBLIC_FACE, STARTER} == set(PACKAGES)


def test_a_package_imports_only_from_lower_packages(repository: Path) -> None:
    upward = [f"{found.place} imports {found.module}" for source in package_sources(repository)
              for found in imports_of(source)
              if found.library == PACKAGE and not may_import(source.package, found.package)]
    assert upward == []


def test_files_never_import_each_other_in_a_circle(repository: Path) -> None:
    sources = package_sources(repository)
    modules = {source.module for source in sources}
    graph = {source.module: ({found.module for found in imports_of(source) if found.module in modules}
                             - {source.module, source.module.rpartition(".")[0]})
             for source in sources if source.name not in (PUBLIC_FACE, STARTER)}
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError, which names the files


def test_every_library_is_imported_only_in_its_home(repository: Path) -> None:
    strays = [f"{found.place} imports {found.module}" for source in package_sources(repository)
              for found in imports_of(source)
              if found.library not in {PACKAGE, *STANDARD}
              and not source.is_in(HOMES.get(found.library, set()))]
    assert strays == []


def test_the_plain_packages_do_without_arrays(repository: Path) -> None:
    strays = [found.place for source in package_sources(repository) if source.is_in(PLAIN - {"doctor"})
              for found in imports_of(source) if found.library == "numpy"]
    assert strays == []


def test_one_file_reaches_the_network_and_one_command_uses_it(repository: Path) -> None:
    found = [(source.name, imported) for source in package_sources(repository) for imported in imports_of(source)]
    reaching = {name for name, imported in found if imported.library in NETWORK and imported.module != "urllib.parse"}
    assert reaching == {"cluster/connection", "registry/download", "web/server"}  # addresses alone reach nowhere
    assert {name for name, imported in found if imported.module == f"{PACKAGE}.registry.download"} == {"registry/pull"}
    assert {name for name, imported in found if imported.module == f"{PACKAGE}.registry.pull"} == {"cli/models"}


@pytest.mark.parametrize(("code", "module"), [
    ("def late():\n    import torch.nn", "torch.nn"),
    ("from .cli import main", "srn_deploy.cli"),
    ("from srn_deploy import cli", "srn_deploy.cli"),
    ("import importlib\nimportlib.import_module('onnx.helper')", "onnx.helper"),
    ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from cv2 import Mat", "cv2"),
])
def test_an_import_is_found_however_it_is_written(code: str, module: str) -> None:
    source = Source(path=Path(), name="image", tree=ast.parse(code))
    assert module in [found.module for found in imports_of(source)]


def test_no_module_is_named_after_a_library(repository: Path) -> None:
    libraries = STANDARD | set(HOMES) | LATER_LIBRARIES
    assert [source.name for source in package_sources(repository) if source.path.stem in libraries - {STARTER}] == []


def test_no_file_is_longer_than_300_lines(repository: Path) -> None:
    lengths = {path.relative_to(repository).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
               for path in python_files(repository)}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_FILE_LINES} == {}


def test_no_function_is_longer_than_50_lines(repository: Path) -> None:
    long = [f"{path.relative_to(repository)}:{function.lineno} {function.name}: {span_lines(function)} lines"
            for path in python_files(repository)
            for function in functions(ast.parse(path.read_text(encoding="utf-8")))
            if span_lines(function) > MAX_FUNCTION_LINES]
    assert long == []


def test_most_functions_are_short(repository: Path, record_property: Callable[[str, object], None]) -> None:
    lengths = [body_lines(function) for source in package_sources(repository) for function in functions(source.tree)]
    median, p90 = statistics.median(lengths), statistics.quantiles(lengths, n=10)[-1]
    record_property("function_lines", f"median {median:g}, p90 {p90:g}, longest {max(lengths)}, of {len(lengths)}")
    assert median <= MAX_MEDIAN_LINES
    assert p90 <= MAX_P90_LINES


def test_only_the_command_line_prints(repository: Path) -> None:
    speakers = re.compile(r"^(print|(click\.)?s?echo|(click\.)?secho|rich\.print|sys\.std(out|err)\.write)$")
    spoken = [f"{source.name}.py:{node.lineno}" for source in package_sources(repository) if source.package != "cli"
              for node in ast.walk(source.tree)
              if isinstance(node, ast.Call) and speakers.match(ast.unparse(node.func))]
    assert spoken == []


def test_no_file_speaks_of_the_machine_it_was_made_on(repository: Path) -> None:
    # Bytes, because a graph or a picture can carry the path of its maker as well as a text can.
    words = [word.encode() for word in FORBIDDEN]
    found = [f"{path.relative_to(repository)}: {word.decode()}" for path in repository_files(repository)
             for word in words if word in path.read_bytes()]
    assert found == []


def test_the_architecture_lists_every_package_in_order(repository: Path) -> None:
    text = (repository / "ARCHITECTURE.md").read_text(encoding="utf-8")
    table = text.partition("| package |")[2].partition("\n\n")[0]
    assert tuple(re.findall(r"^\| `([a-z_]+)/?` \|", table, flags=re.M)) == PACKAGES
