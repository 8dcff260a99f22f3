"""Questions to libraries that may crash or hang: each is asked in a process of its own, several at a time."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from srn_deploy.system.threads import usable_cores

MOST_AT_ONCE = 8
"""Each child may take some hundred MB while a large library is loaded."""

_PROBE = "srn_deploy.doctor.probe"

_LONGEST_TEXT = 300
"""Characters of a foreign error that are shown."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of one child."""

    told: Mapping[str, Any] = field(default_factory=dict)
    """What the probe returned; empty where it failed."""
    error: str = ""
    """Class of the exception it ended in."""
    text: str = ""
    """What went wrong, in one line; empty where nothing did."""
    remedy: str = ""
    """Where the exception is one of ours."""
    lacking: str = ""
    """The module that a ModuleNotFoundError names."""
    died: bool = False
    """It crashed or hung: so would every program that does the same."""

    @property
    def ok(self) -> bool:
        """Whether it answered."""
        return not self.text


def ask(questions: Mapping[str, Sequence[str]], timeout_s: float) -> dict[str, Answer]:
    """Ask every question, probe and arguments, in a child of its own; an answer to each under its name.

    A child that does not end within timeout_s is killed. No answer is ever an exception.
    """
    return asyncio.run(_ask_all(questions, timeout_s))


async def _ask_all(questions: Mapping[str, Sequence[str]], timeout_s: float) -> dict[str, Answer]:
    turns = asyncio.Semaphore(min(MOST_AT_ONCE, max(2, usable_cores())))

    async def in_turn(arguments: Sequence[str]) -> Answer:
        async with turns:
            return await _ask(arguments, timeout_s)

    answers = await asyncio.gather(*map(in_turn, questions.values()))
    return dict(zip(questions, answers, strict=True))


async def _ask(arguments: Sequence[str], timeout_s: float) -> Answer:
    # The same modules as here, whatever lies in the current folder: -P keeps it off the path.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", _PROBE, *arguments, env=environment, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    except OSError as error:
        return Answer(text=f"no process can be started: {error.strerror}", died=True)
    try:
        told, spoken = await asyncio.wait_for(child.communicate(), timeout_s)
    except TimeoutError:
        return Answer(text=f"it does not end within {timeout_s:g} s", died=True)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return _answer(child.returncode or 0, told.decode(errors="replace"), spoken.decode(errors="replace"))


def _answer(code: int, told: str, spoken: str) -> Answer:
    try:
        answer = json.loads(told)
    except ValueError:
        answer = {}
    if code and "error" not in answer:
        last = next((line.strip() for line in reversed(spoken.splitlines()) if line.strip()), "")
        return Answer(text=_ending(code) + (f": {last[:_LONGEST_TEXT]}" if last else ""), died=True)
    if "error" in answer:
        return Answer(error=answer["error"], text=one_line(answer["text"]).rstrip(".") or answer["error"],
                      remedy=answer["remedy"], lacking=answer["lacking"])
    return Answer(told=answer["told"]) if answer else Answer(text="it ends without an answer", died=True)


def _ending(code: int) -> str:
    if code > 0:
        return f"it ends with exit code {code}"
    try:
        return f"it ends in signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"it ends in signal {-code}"


def one_line(text: str) -> str:
    """The line of an error that says most: numpy's and OpenCV's are pages that hold the loader's own words."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "cannot open shared object file" in line]
    return ((telling or lines)[0] if lines else "")[:_LONGEST_TEXT]
