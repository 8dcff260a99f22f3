"""What a command line loads before it is known what the user wants."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("numpy", "torch", "cv2", "PIL", "simplejpeg", "onnx", "onnxruntime", "onnxscript", "safetensors",
         "matplotlib", "rich")

# Exit codes do not matter here; what is loaded when the program ends does.
RUN_CLI = """
import json, sys
from srn_deploy.cli import main
code = 0
try:
    main(json.loads(sys.argv[1]), prog_name="srn-deploy")
except SystemExit as end:
    code = end.code
print("\\n" + json.dumps({"code": code, "modules": sorted(sys.modules)}))
"""


def loaded_by(arguments: list[str]) -> set[str]:
    """The modules in memory after the command line ended well."""
    ended = subprocess.run([sys.executable, "-c", RUN_CLI, json.dumps(arguments)],
                           capture_output=True, text=True, check=True)
    told = json.loads(ended.stdout.splitlines()[-1])
    assert not told["code"], ended.stdout + ended.stderr
    return set(told["modules"])


def command_names() -> list[str]:
    import click

    from srn_deploy.cli import main
    return sorted(main.list_commands(click.Context(main)))


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([name, "--help"] for name in command_names())],
                         ids=" ".join)
def test_help_and_version_load_nothing_heavier_than_click(arguments: list[str]) -> None:
    loaded = loaded_by(arguments)
    assert "click" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_importing_the_package_loads_none_of_its_rooms() -> None:
    listing = subprocess.run([sys.executable, "-c", "import sys, srn_deploy; print('\\n'.join(sys.modules))"],
                             capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in listing if name.startswith("srn_deploy.") or name in HEAVY] == []
