"""The files of a run: state, log, checkpoint and curve. Each is complete or absent."""

from __future__ import annotations

import csv
import errno
import math
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from srn_deploy.errors import TrainingError
from srn_deploy.system.atomic import TEMPORARY_MARK, replacing
from srn_deploy.system.documents import convert
from srn_deploy.system.folders import make_folder
from srn_deploy.system.held_folder import HeldFolder
from srn_deploy.training.recipe import Recipe

STATE_FILE = "state.pt"
LOG_FILE = "log.csv"
CHECKPOINT_FILE = "model.safetensors"
CURVE_FILE = "curve.png"
LOG_FIELDS = ("step", "elapsed_s", "learning_rate", "loss", "validation_psnr_y_db")


@dataclass(frozen=True, kw_only=True)
class RunState:
    """Everything a run needs to continue, as `state.pt` holds it.

    Fields with a default are missing in the states of older versions. Tensors are those of the running networks where a
    state is saved, and on the CPU where it was loaded.
    """

    step: int
    elapsed_s: float
    network: dict[str, Any]
    average: dict[str, Any]
    optimizer: dict[str, Any]
    recipe: dict[str, Any]
    pictures: list[str] | None = None
    """Names of the images trained with; None: not recorded."""
    initial_sha256: str = ""
    """Of the checkpoint whose weights the run started with; empty: none, or not recorded."""
    teacher_sha256: str | None = None
    """Of the teacher's checkpoint; empty: no teacher. None: not recorded."""
    loss_sum: float = 0.0
    """Sum of the losses since the last validation."""
    loss_count: int = 0


class RunFolder:
    """The folder of one run, and reading and writing its files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state, self.log = path / STATE_FILE, path / LOG_FILE
        self.checkpoint, self.curve = path / CHECKPOINT_FILE, path / CURVE_FILE
        self._last_row: Sequence[str] = ()
        self._held = HeldFolder(path, lambda who: TrainingError(
            f"{path} is being trained by {who}.", remedy="Wait until it has ended, or choose another --out."))

    def check_not_running(self) -> None:
        """Raise TrainingError where a run is going on in the folder, in another process or on another host."""
        with self._write_errors_translated(self.path):
            self._held.check_free()

    def release(self) -> None:
        """Let other runs have the folder, which `create` and `resume` take; harmless where it is not held."""
        self._held.release()

    def check_free(self) -> None:
        """Raise TrainingError where the folder already holds a run, or a file that a run would overwrite."""
        if self.state.exists():
            raise TrainingError(f"{self.path} already holds a run.",
                                remedy="Continue it with --resume, or choose another --out.")
        for path in (self.checkpoint, self.curve, self.log):
            if path.exists():
                raise TrainingError(f"{self.path} holds a {path.name} that would be overwritten.",
                                    remedy="Choose another --out, or move the file away.")

    def create(self) -> None:
        """Create the folder and hold it; raises TrainingError where that is not possible, or another run is there.

        The log is written with its first row, after the first state: a run that is killed earlier leaves nothing that
        would stop the next attempt.
        """
        with self._write_errors_translated(self.path):
            make_folder(self.path)
            self._held.acquire()
        self.check_free()  # again: another run may have come and gone while the images were loaded

    def resume(self, recipe: Recipe) -> RunState:
        """Hold the folder, load the saved state onto the CPU, and cut the log back to its step.

        Raises TrainingError where another run is going on there, for a damaged state, and for one of a different
        recipe.
        """
        with self._write_errors_translated(self.path):
            self._held.acquire()
        state = self._load_state()
        if differences := recipe.differences(state.recipe):
            raise TrainingError(f"{self.state} was trained with a different recipe ({'; '.join(differences[:3])}).",
                                remedy="Resume with the recipe it started with; or choose another --out and start with "
                                       f"its weights: --initial {shlex.quote(str(self.checkpoint))}")
        with self._write_errors_translated(self.path):
            self._remove_leftovers()
            self._write_log([row for row in self._sound_rows() if int(row[0]) <= state.step])
        return state

    def _sound_rows(self) -> list[list[str]]:
        """The rows of the log; raises TrainingError for a log that is not one."""
        try:
            rows = self._rows()
            tuple(int(row[0]) for row in rows)
        except (ValueError, IndexError) as error:
            raise TrainingError(f"{self.log} is damaged ({error}).",
                                remedy="Remove it, then use --resume: a new log is started.") from error
        return rows

    def _load_state(self) -> RunState:
        def damaged(what: str) -> TrainingError:
            return TrainingError(f"{self.state} is not a complete state of a training run ({what}).",
                                 remedy="Choose another --out and start again.")
        try:
            loaded = torch.load(self.state, map_location="cpu", weights_only=True)
        except OSError as error:
            if error.errno == errno.EINVAL:  # torch seeks before the beginning of a truncated file
                raise damaged(type(error).__name__) from error
            raise TrainingError(f"{self.state} cannot be read: {error.strerror or error}.",
                                remedy="Check the file and its permissions, then use --resume.") from error
        except MemoryError:
            raise
        except Exception as error:  # torch.load does not document what damaged files raise
            raise damaged(type(error).__name__) from error
        return convert(loaded, RunState, damaged)

    @property
    def last_step(self) -> int | None:
        """Step of the newest row of the log; None without a row."""
        return int(self._last_row[0]) if self._last_row else None

    @property
    def last_psnr_y_db(self) -> float:
        """Validation PSNR of the newest row of the log; NaN without a row."""
        return float(self._last_row[-1]) if self._last_row else math.nan

    def append(self, row: Sequence[object]) -> None:
        """Add one row to the log, in the order of LOG_FIELDS; raises TrainingError if it cannot be written."""
        with self._write_errors_translated(self.log):
            if not self.log.exists():
                self._write_log([])
            with self.log.open("a", newline="") as file:
                csv.writer(file).writerow(row)
        self._last_row = [str(value) for value in row]

    def save_state(self, state: RunState) -> None:
        """Replace the state atomically; raises TrainingError if it cannot be written."""
        with self._write_errors_translated(self.state), replacing(self.state) as temporary:
            torch.save({field.name: getattr(state, field.name) for field in fields(state)}, temporary)

    def _rows(self) -> list[list[str]]:
        """The complete rows of the log; a killed process may have left half a row at the end."""
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
        """Remove the partly written files of a killed process."""
        for leftover in self.path.glob(f"{TEMPORARY_MARK}*"):
            leftover.unlink(missing_ok=True)

    @contextmanager
    def _write_errors_translated(self, path: Path) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError) as error:  # RuntimeError: torch's own writer, on a full disk
            raise TrainingError(f"{path} cannot be written: {error}.", remedy="Check the folder, its permissions and "
                                "the free space; then use --resume.") from error
