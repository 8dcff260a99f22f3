"""What the documents tell people to type works, and what they point at is there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.documents import Block, Typed, blocks_of, is_as_shown, read_typed, run_block, run_document

DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "engines/README.md",
             "benchmarks/README.md", "benchmarks/ablation.md", "docs/training.md", "docs/benchmarks.md",
             "docs/README.md", "docs/tutorial.md", "docs/howto.md", "docs/cli.md", "docs/tiling.md", "docs/models.md",
             "docs/troubleshooting.md", "docs/pictures.md", "docs/guard.md", "docs/install.md", "docs/networks.md",
             "docs/status.md", "docs/video.md", "docs/serving.md", "docs/cluster.md", "docs/web.md")

EXECUTED = {
    "README.md": ("demo_x4.png", "large/demo.png", "mine_x4.png"),
    "docs/training.md": ("runs/mine/model.safetensors",),
    "docs/benchmarks.md": ("before.json", "scores.csv", "upscaled/demo.png", "report.html"),
    "docs/tutorial.md": ("demo_x4.png", "mine.onnx", "mine.onnx.certificate.json"),
    "docs/howto.md": ("large/demo.png", "mine.onnx", "deep_x4.png", "deep-int8.onnx", "from_python.png",
                      "ci.png", "after.json"),
    "docs/tiling.md": ("whole.png", "tiled.png"),
    "docs/troubleshooting.md": ("doctor.json", "demo_x4.png"),
    "docs/pictures.md": ("demo.webp", "large/demo.tif", "small.jpg", "lifted.png"),
    "docs/guard.md": ("watched.png", "repaired.png"),
    "docs/models.md": ("models.json", "clean_x4.png"),
    "docs/networks.md": ("mine.onnx", "mine_x2.png"),
    "docs/cluster.md": ("large/demo.png", "from_python/demo.png", "slurm/badge.png", "slurm/curves.png",
                        "slurm/demo.png", "slurm/texture.png", "upscale.yaml", "on_ray/demo.png",
                        "ray_from_python/demo.png"),
    "docs/video.md": ("large.mp4", "upscaled/demo.png", "upscaled/clip.mp4", "small.mkv", "archive.mkv",
                      "from_python.mkv"),
    "docs/web.md": ("demo_x4.png",),
}
"""Documents whose blocks are run in order, and files that are there afterwards."""

INSTALLS = "fetches packages; tests/test_installation.py installs, and the next test looks up the targets"

ON_A_GPU = "takes the minutes of a GPU; tests/test_gpu_report.py runs it in its reduced form, cut off and called again"

SERVES = "serves until Ctrl-C; tests/test_web_server.py and tests/test_web_page.py do, and look at it"

NOT_RUN_HERE = {
    ("README.md", "make demo"): INSTALLS,
    ("docs/install.md", "pip install ."): INSTALLS,
    ("docs/benchmarks.md",
     "srn-deploy bench --paper --device cpu --images FOLDER --limit 5 --plot figure1.svg --markdown tables.md"):
        "takes minutes; tests/test_bench.py runs it on small pictures",
    ("docs/benchmarks.md", "curl -LO http://data.vision.ee.ethz.ch/cvl/DIV2K/DIV2K_valid_LR_bicubic_X4.zip"):
        "fetches pictures that are no part of the project",
    ("docs/benchmarks.md", "python -m benchmarks.gpu_report --minutes 25 --out found"): ON_A_GPU,
    ("docs/benchmarks.md", "python -m benchmarks.gpu_report --minutes 9 --earlier found --out found-2"): ON_A_GPU,
    ("docs/benchmarks.md", "python -m benchmarks.gpu_report --collect found-2"): ON_A_GPU,
    ("docs/training.md", "DIV2K_train_HR/0001.png     DIV2K_train_LR_bicubic/X4/0001x4.png     DIV2K_valid_HR/…"):
        "a list of paths; tests/test_training_layout.py recognises them",
    ("docs/cluster.md", "*/10 * * * *  srn-deploy upscale /data/incoming /data/large --share"):
        "a line of a timer; tests/test_shared_runs.py starts runs beside one another",
    ("docs/pictures.md",
     ("Warning: holiday.jpg: left behind: APP11 (C2PA content credentials), 18,204 bytes; gain map "
      "(the result is the SDR image), 96,112 bytes.")):
        "a line about a photograph; tests/test_left_behind.py makes such files",
    ("docs/tutorial.md", "make demo"): INSTALLS,
    ("docs/tutorial.md", ". .venv/bin/activate"): INSTALLS,
    ("docs/tutorial.md", "pip install torch --index-url https://download.pytorch.org/whl/cpu"): INSTALLS,
    ("docs/models.md", "srn-deploy models pull srn-official rlfn-x4"):
        "fetches files; tests/test_fetch_ways.py fetches from a server of its own",
    ("docs/web.md", "srn-deploy web"): SERVES, ("docs/web.md", "srn-deploy web --host 0.0.0.0"): SERVES,
    ("CONTRIBUTING.md", "cp srn_deploy/architectures/espcn.py srn-deploy-espcn/srn_deploy_espcn.py"):
        "tests/test_registered_networks.py runs it, with a folder to install into",
    ("docs/serving.md", "models/srn-s-b6-x2/config.pbtxt          shapes, instances, queue, warm-up, versions"):
        "a list of files; tests/test_triton_repository.py looks at each",
    ("docs/serving.md", "export PATH=/srv/srn-deploy/bin:$PATH"):
        "tests/triton_server.py starts the server, both ways",
    ("docs/serving.md", "docker run --gpus all --shm-size 2g -p 8001:8001 -v $PWD/models:/models \\"):
        "fetches a container",
    ("ARCHITECTURE.md", "        checkpoint (.pth, .safetensors)                     image files"): "a diagram",
}
"""Document and first line of every block that nothing runs, and why."""


def is_walked_through(document: str, block: Block) -> bool:
    """CONTRIBUTING.md's files and changes are written and used by tests/test_contributing.py; what is typed in
    docs/serving.md is run by tests/test_serving_document.py, with the address of its server."""
    return (document == "CONTRIBUTING.md" and " file=" in block.language) or (
        document == "docs/serving.md" and block.is_run)


def every_document(repository: Path) -> list[str]:
    """Those that are named here, and whatever else lies in docs/."""
    return sorted({*DOCUMENTS, *(f"docs/{path.name}" for path in (repository / "docs").glob("*.md"))})


@pytest.mark.parametrize("document", EXECUTED)
def test_every_block_runs_in_order(repository: Path, tmp_path: Path, document: str) -> None:
    run_document(repository, document, tmp_path)
    assert [name for name in EXECUTED[document] if not (tmp_path / name).is_file()] == []


def test_no_block_is_left_to_faith(repository: Path) -> None:
    unrun = {(document, block.first_line) for document in every_document(repository)
             for block in blocks_of(repository / document)
             if not (block.is_run and document in EXECUTED) and not is_walked_through(document, block)}
    assert unrun == set(NOT_RUN_HERE)


def test_every_document_of_the_folder_is_named_in_this_file(repository: Path) -> None:
    assert every_document(repository) == sorted(DOCUMENTS)


def test_every_make_target_of_the_readme_exists(repository: Path) -> None:
    lines = [line for block in blocks_of(repository / "README.md") if block.language == "console"
             for line in block.text.splitlines()]
    targets = [line.split()[1] for line in lines if line.startswith("make ")]
    assert targets == ["demo"]
    for target in targets:
        subprocess.run(["make", "--dry-run", target], cwd=repository, check=True, capture_output=True)


def links(path: Path) -> list[tuple[str, str]]:
    """File (empty: the same one) and heading (empty: none) of every link that stays in the repository."""
    found = re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", path.read_text(encoding="utf-8"))
    return [(target, heading) for target, heading in found if not target.startswith("https://")]


def anchors(path: Path) -> set[str]:
    """What a link may point at in a Markdown file: lower case, hyphens for spaces, no punctuation."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(repository: Path, document: str) -> None:
    path = repository / document
    for target, heading in links(path):
        aim = path.parent / target if target else path
        assert aim.exists(), f"{document} points at {target}"
        assert not heading or heading in anchors(aim), f"{document} points at {target}#{heading}"


def test_every_document_of_the_folder_is_in_its_index(repository: Path) -> None:
    named = {target for target, _ in links(repository / "docs/README.md")}
    assert {path.name for path in (repository / "docs").glob("*.md")} - named == {"README.md"}


def test_a_console_block_is_read_as_commands_and_what_is_seen() -> None:
    assert read_typed("$ one \\\n  more\nseen\n$ two\n") == [Typed(command="one \\\n  more", seen="seen\n"),
                                                             Typed(command="two", seen="")]


@pytest.mark.parametrize(("shown", "seen", "is_same"), [
    ("a.png\n", "a.png\n", True), ("a.png", "b.png", False), ("3 there", "4 there", False), ("code 1", "code 2", False),
    ("93.5 dB", "94.25 dB", True), ("1 of 255", "2 of 255", True),
    ("at ... px", "at 7 px", True), ("first\n...\nlast", "first\n1\n2\nlast", True),
    ("first\n...\nlast", "first\nlast", True), ("at ... px", "at 7\n px", False), ("", "seen", False),
    ("x-0123456789abcdef.engine", "x-fedcba9876543210.engine", True), ("first", "first\nsecond", False),
])
def test_outputs_are_compared_up_to_what_belongs_to_the_day(shown: str, seen: str, is_same: bool) -> None:
    assert is_as_shown(shown, seen) == is_same


@pytest.mark.parametrize(("language", "text"), [
    ("bash", "false\n"), ("python", "assert False\n"), ("console", "$ echo one\ntwo\n"), ("console", "$ false\n")])
def test_a_block_that_does_not_do_what_it_says_fails(tmp_path: Path, language: str, text: str) -> None:
    with pytest.raises(AssertionError, match="line 7"):
        run_block(Block(language=language, text=text, line=7), tmp_path)


def test_commands_of_one_console_block_share_a_shell(tmp_path: Path) -> None:
    run_block(Block(language="console", text="$ word=3; echo Error: $word; false\nError: 3\n$ echo $? $word\n1 3\n",
                    line=1), tmp_path)
