"""What a run leaves in its folder: state to go on from, log, checkpoint, curve. Each is whole or absent."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from srn_deploy.errors import TrainingError
from srn_deploy.system.atomic import TEMPORARY_MARK, replacing
from srn_deploy.training.recipe import Recipe

STATE_FILE = "state.pt"
LOG_FILE = "log.csv"
CHECKPOINT_FILE = "model.safetensors"
CURVE_FILE = "curve.png"
LOG_FIELDS = ("step", "elapsed_s", "learning_rate", "loss", "validation_psnr_y_db")

State = dict[str, Any]

_NEEDED = ("elapsed_s", "network", "average", "optimizer")
"""What every state has had, beside `step` and `recipe`, since the first version."""


class RunFolder:
    """The files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state, self.log = path / STATE_FILE, path / LOG_FILE
        self.checkpoint, self.curve = path / CHECKPOINT_FILE, path / CURVE_FILE
        self._last_row: Sequence[str] = ()

    def check_free(self) -> None:
        """Raise TrainingError where a run, or a file that it would overwrite, lies already."""
        if self.state.exists():
            raise TrainingError(f"{self.path} holds a run already.",
                                remedy="Continue it with --resume, or choose another --out.")
        for path in (self.checkpoint, self.curve, self.log):
            if path.exists():
                raise TrainingError(f"{self.path} holds a {path.name} that would be overwritten.",
                                    remedy="Choose another --out, or move the file away.")

    def begin(self) -> None:
        """Make the folder. The log comes with its first row, after the first state: a run that is killed before
        that has left nothing that stands in its own way."""
        with self._translated(self.path):
            self.path.mkdir(parents=True, exist_ok=True)

    def resume(self, recipe: Recipe) -> State:
        """The saved state, on the CPU, and the log cut back to it; raises TrainingError if it is of another recipe."""
        try:
            state: State = torch.load(self.state, map_location="cpu", weights_only=True)
            differences = recipe.differences(state["recipe"])
            step, _ = int(state["step"]), [state[key] for key in _NEEDED]
        except Exception as error:  # torch.load documents no list of what damaged files raise
            raise TrainingError(f"{self.state} is no whole state of a training run ({type(error).__name__}).",
                                remedy="Choose another --out and begin anew.") from error
        if differences:
            raise TrainingError(f"{self.state} was trained by another recipe ({'; '.join(differences[:3])}).",
                                remedy="Resume with the recipe it began with, or choose another --out.")
        with self._translated(self.path):
            self._remove_leftovers()
            self._write_log([row for row in self._rows() if int(row[0]) <= step])
        return state

    @property
    def last_step(self) -> int | None:
        """Of the newest row of the log."""
        return int(self._last_row[0]) if self._last_row else None

    @property
    def last_psnr_y_db(self) -> float:
        """Of the newest row of the log; NaN without one."""
        return float(self._last_row[-1]) if self._last_row else math.nan

    def append(self, row: Sequence[object]) -> None:
        """Add one row to the log; the order is that of LOG_FIELDS."""
        with self._translated(self.log):
            if not self.log.exists():
                self._write_log([])
            with self.log.open("a", newline="") as file:
                csv.writer(file).writerow(row)
        self._last_row = [str(value) for value in row]

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Replace the state in one go; raises TrainingError if it cannot be written."""
        with self._translated(self.state), replacing(self.state) as temporary:
            torch.save(dict(state), temporary)

    def _rows(self) -> list[list[str]]:
        """The whole rows of the log; a killed process may have left half a row at its end."""
        if not self.log.is_file():
            return []
        with self.log.open(newline="") as file:
            lines = [line for line in file if line.endswith("\n")]
        return [row for row in csv.reader(lines[1:]) if len(row) == len(LOG_FIELDS)]

    def _write_log(self, rows: Sequence[Sequence[str]]) -> None:
        with replacing(self.log) as temporary, temporary.open("w", newline="") as file:
            csv.writer(file).writerows([LOG_FIELDS, *rows])
        self._last_row = rows[-1] if rows else ()

    def _remove_leftovers(self) -> None:
        """Half-written files of a killed process."""
        for leftover in self.path.glob(f"{TEMPORARY_MARK}*"):
            leftover.unlink(missing_ok=True)

    @contextmanager
    def _translated(self, path: Path) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError) as error:  # RuntimeError: torch's own writer, on a full disk
            raise TrainingError(f"{path} cannot be written: {error}.", remedy="Check the folder, its permissions and "
                                "the free space; then use --resume.") from error
