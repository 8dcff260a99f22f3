"""Do all extras of setup.cfg fit into one environment? `python -m tests.extras`, which `make extras` runs, asks pip.

Nothing is installed. What is installed already is kept where it fits, so that little is fetched.
"""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from pathlib import Path

SETUP = Path(__file__).resolve().parent.parent / "setup.cfg"

OWN = "srn-deploy["
"""An extra that contains another one, whose requirements are in the list anyway."""

OF_NVIDIA = "tensorrt>"
"""Its wheels are in NVIDIA's own index: elsewhere there are stubs, whose requirements are known after a download of
gigabytes. Beside its own libraries it requires nothing."""

CONTRADICTION = ("ResolutionImpossible", "conflicting dependencies")
"""What pip says of requirements that cannot be met together."""

NO_SUCH_VERSION = re.compile(r"satisfies the requirement (.+) \(from versions: (?!none\)).*\)")
"""What pip says of a version that is in none of its indexes, where others are. Without any it may be the network."""


def requirements() -> list[str]:
    """Of the base and of every extra, each once."""
    written = configparser.ConfigParser()
    written.read(SETUP, encoding="utf-8")
    lists = [written["options"]["install_requires"], *written["options.extras_require"].values()]
    lines = {line for text in lists for line in text.splitlines()}
    return sorted(line for line in lines if line and not line.startswith((OWN, OF_NVIDIA, "#")))


def resolved(wanted: list[str], *options: str) -> subprocess.CompletedProcess[str]:
    """What pip makes of requirements."""
    return subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--dry-run",
                           "--retries", "1", *options, *wanted], capture_output=True, text=True, check=False)


def verdict(done: subprocess.CompletedProcess[str]) -> tuple[int, str]:
    """The exit code of the check, and its sentence.

    It fails for a contradiction and for a version that does not exist, not for a missing network.
    """
    if done.returncode == 0:
        return 0, "All extras fit into one environment."
    if any(words in done.stderr for words in CONTRADICTION):
        why = done.stdout.partition("The conflict is caused by:")[2].strip()
        return 1, f"The extras do not fit into one environment:\n{why}\n{done.stderr}"
    if absent := NO_SUCH_VERSION.search(done.stderr):
        return 1, f"There is no version of {absent[1]}:\n{done.stderr[-2000:]}"
    return 0, f"Whether all extras fit into one environment could not be checked:\n{done.stderr[-2000:]}"


if __name__ == "__main__":
    code, sentence = verdict(resolved(requirements()))
    sys.stderr.write(f"{sentence}\n")
    sys.exit(code)
