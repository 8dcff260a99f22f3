"""The checkpoint of another run, for a recipe that begins with its weights or learns from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from srn_deploy.architectures.checkpoint import LoadedNetwork
from srn_deploy.architectures.recognition.recognise import load_resolved
from srn_deploy.errors import OptionError
from srn_deploy.registry.resolve import resolve_file
from srn_deploy.training.run_folder import CHECKPOINT_FILE


@dataclass(frozen=True, kw_only=True)
class EarlierRun:
    """Where the network comes from that a recipe needs before it starts."""

    recipe: str
    """The recipe of that run; empty: a checkpoint must be given."""
    purpose: str
    """What needs it, as the beginning of a sentence: "Recipe x learns from"."""
    option: str
    """The option that names a checkpoint instead."""

    def load(self, out: Path, given: Path | None) -> tuple[Path, LoadedNetwork]:
        """The given checkpoint, or else that of the run in the folder of its recipe's name next to `out`.

        Raises OptionError where it is missing, CheckpointError where it cannot be read.
        """
        path = given or out.absolute().parent / self.recipe / CHECKPOINT_FILE
        if not path.is_file():
            raise OptionError(f"{self.purpose} {self.recipe or 'a checkpoint'}, but {path} does not exist.",
                              remedy=f"Train {self.recipe} first, or give a checkpoint with {self.option}."
                              if self.recipe else f"Give the path of a checkpoint with {self.option}.")
        return path, load_resolved(resolve_file(path))
