"""Documents as programs: their fenced blocks, run in order in one folder, and their outputs compared.

A `bash` block must end well. A `python` block is a program of its own. In a `console` block a line that begins
with `$ ` is typed and what follows is what is seen, both streams together. There `...` stands for anything. Numbers
with a point, long hexadecimal ones, levels "of 255" and "nodes" are of the machine and the libraries' versions: that
there is one is compared, not which.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import PIL.Image
import pytest

from srn_deploy.system.cpu_features import cpu_features
from tests import commands

PROMPT = "$ "
ANYTHING = "..."

HOME_SHOWN = "~/srn-deploy"
"""Where the reader's checkout lies in what the documents show."""

NEEDED = {"srn-deploy export": "torch", "srn-deploy train": "torch", "srn-deploy verify": "torch",
          "import av": "av", "--ray": "ray", "import cluster": "ray", "srn-deploy bench": "torch",
          "srn-deploy build-engine": "tensorrt_rtx"}
"""Command to the optional package without which it says what to install."""

SHOWS_SIZES = ("docs/howto.md", "docs/benchmarks.md")
"""Documents that show the size of the large image, or compare it with the small one."""

_FENCED = re.compile(r"^(?P<fence>```+)(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=fence)$", flags=re.M | re.S)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)+(?:e[+-]?\d+)?|\b\d+e[+-]?\d+\b")
_COUNT = re.compile(r"\b\d+(?= (?:of 255|nodes)\b)")
_HEXADECIMAL = re.compile(r"\b[0-9a-f]{12,}\b")
_END_OF_COMMAND = "\x1e"

LIMIT_S = 300


@dataclass(frozen=True, kw_only=True)
class Block:
    """One fenced block of a Markdown file."""

    language: str
    text: str
    line: int
    """Of its fence in the file."""

    @property
    def first_line(self) -> str:
        return self.text.split("\n", 1)[0]

    @property
    def is_run(self) -> bool:
        """Whether `run_block` knows what to do with it."""
        return self.language in ("bash", "python") or (self.language == "console" and self.text.startswith(PROMPT))


@dataclass(frozen=True, kw_only=True)
class Typed:
    """One command of a console block and what is seen after it."""

    command: str
    seen: str

    @property
    def fails(self) -> bool:
        """Whether the document shows an error."""
        return re.search(r"^Error: ", self.seen, flags=re.M) is not None


def blocks_of(path: Path) -> list[Block]:
    """Every fenced block in order."""
    text = path.read_text(encoding="utf-8")
    return [Block(language=found["info"].strip(), text=found["text"], line=text.count("\n", 0, found.start()) + 1)
            for found in _FENCED.finditer(text)]


def run_document(repository: Path, document: str, checkout: Path) -> None:
    """Run every block that can be run, in order, beside a copy of the drawn images, of which the large one is cropped.

    Skips from the first block on that needs a package that is not installed, or VNNI on a CPU that has none.
    """
    shutil.copytree(repository / "benchmarks", checkout / "benchmarks",
                    ignore=shutil.ignore_patterns("plots", "records", "__pycache__"))
    if document not in SHOWS_SIZES:
        with PIL.Image.open(large := checkout / "benchmarks/pictures/demo_hr.png") as image:
            image.crop((0, 0, 240, 192)).save(large)
    for block in blocks_of(repository / document):
        if block.is_run:
            _skip_without_what_it_needs(block)
            run_block(block, checkout)


def run_block(block: Block, checkout: Path) -> None:
    """Run one block and compare what it shows."""
    if block.language == "console":
        for typed, (seen, code) in zip(read_typed(block.text), _type(block, checkout), strict=True):
            assert (code != 0) == typed.fails, f"line {block.line}: {typed.command} ended in {code}:\n{seen}"
            assert is_as_shown(typed.seen, seen), f"line {block.line}: {typed.command} shows:\n{seen}"
        return
    if block.language == "bash":
        done = subprocess.run(["bash", "-euc", block.text], cwd=checkout, env=environment(checkout),
                              capture_output=True, text=True, timeout=LIMIT_S, check=False)
    else:
        done = commands.python(block.text, cwd=checkout, environment=environment(checkout), timeout=LIMIT_S)
    assert done.returncode == 0, f"line {block.line}: {block.text}\n{done.stdout}{done.stderr}"


def read_typed(text: str) -> list[Typed]:
    """The commands of a console block; one that ends in a backslash goes on in the next line."""
    found: list[Typed] = []
    for part in re.split(rf"^{re.escape(PROMPT)}", text, flags=re.M)[1:]:
        command, *seen = re.split(r"(?<!\\)\n", part, maxsplit=1)
        found.append(Typed(command=command, seen=seen[0] if seen else ""))
    return found


def is_as_shown(shown: str, seen: str) -> bool:
    """Whether an output is what a document shows: a line `...` is any number of lines, within a line it is any text."""
    pattern = "".join(r"(?:[^\n]*\n)*" if line == ANYTHING else _line_pattern(line) + r"\n" for line in _lines(shown))
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in _lines(seen))) is not None


def _line_pattern(line: str) -> str:
    return r"[^\n]*".join(map(re.escape, line.split(ANYTHING)))


def _lines(text: str) -> list[str]:
    """Without what belongs to the machine, and without space at the ends."""
    for kind in (_HEXADECIMAL, _NUMBER, _COUNT):
        text = kind.sub("#", text)
    return [line.rstrip() for line in text.strip().splitlines()]


def environment(checkout: Path) -> dict[str, str]:
    """A machine without a GPU, whose cache of engines is that of the checkout; `srn-deploy` starts quickly."""
    programs = (commands.client_folder(), Path(sys.executable).parent, os.environ["PATH"])
    return {**os.environ, "PATH": os.pathsep.join(map(str, programs)),
            "SRN_CACHE": str(checkout / "engines"), "CUDA_VISIBLE_DEVICES": "", "PYTHONUNBUFFERED": "1"}


def _type(block: Block, checkout: Path) -> list[tuple[str, int]]:
    """Output and exit code of each command, all in one shell."""
    script = "\n".join(f"{typed.command}\n(code=$?; printf '\\036%d\\036' $code; exit $code)"
                       for typed in read_typed(block.text))
    done = subprocess.run(["bash", "-c", f"exec 2>&1\n{script}"], cwd=checkout, env=environment(checkout),
                          stdout=subprocess.PIPE, text=True, timeout=LIMIT_S, check=False)
    *parts, _ = done.stdout.split(_END_OF_COMMAND)
    return [(seen.replace(str(checkout), HOME_SHOWN), int(code))
            for seen, code in zip(parts[::2], parts[1::2], strict=True)]


def _skip_without_what_it_needs(block: Block) -> None:
    if " --int8 " in block.text and (cpu_features() or {}).get("VNNI") is False:
        pytest.skip(f"from line {block.line} on: without VNNI the command also warns, which is not in the document")
    for command, package in NEEDED.items():
        if command in block.text and importlib.util.find_spec(package) is None:
            pytest.skip(f"from line {block.line} on: `{command}` needs {package}, which is not installed")

