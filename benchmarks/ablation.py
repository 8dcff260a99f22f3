"""The paper's claims, tried: every network of a comparison trained alike, for one small budget, with several seeds.

    python -m benchmarks.ablation --data FOLDER --teacher CHECKPOINT [--steps N] [--seeds 0 1]

Runs lie in --runs and resume; --only trains some rows, so that several processes can share the work; a last
call without it writes the record. Every row must have had the same steps, pictures and teacher.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.hard_pictures import hard_pictures, output_range
from benchmarks.inputs import RECORDS, data_path
from benchmarks.scores import evaluated, set_names
from srn_deploy.architectures.checkpoint import LoadedNetwork, load_checkpoint
from srn_deploy.backends.pytorch import PyTorchBackend
from srn_deploy.benchmark.environment import Environment, current_environment
from srn_deploy.benchmark.records import Record
from srn_deploy.errors import OptionError
from srn_deploy.registry.resolve import ModelKind, resolve
from srn_deploy.system.hashing import sha256_of_file
from srn_deploy.training import RunOptions
from srn_deploy.training.recipe import Recipe, load_recipe
from srn_deploy.training.run_folder import STATE_FILE
from srn_deploy.training.schedule import Progress
from srn_deploy.training.trainer import Trainer

RECIPE = "compact-x4-distilled"
"""Every row is this recipe with the row's network, taught or not."""

STRONG_TEACHER = "srn-s-b4-x4"
"""A shipped model, which was trained far longer than any row."""

ADAM_LEARNING_RATE = 7e-4
"""Of compact-x4."""

SETS = ("images/Set5/x4", "images/Set14/x4")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One network of the paper's Tables 2 to 4, with 4 blocks instead of 6."""

    attention: str = "new"
    residual: bool = False
    last_conv: bool = False
    teacher: str = ""
    """Empty, `compact` or `strong`."""
    stressed: bool = True
    """Whether one patch in sixteen is a stress patch, which the paper does not have."""
    optimizer: str = "muon"


ROWS = {
    "no ESA, residual": Row(attention="none", residual=True),
    "old ESA, residual": Row(attention="old", residual=True),
    "new ESA, residual": Row(residual=True),
    "SRN-S": Row(),
    "SRN": Row(last_conv=True),
    "SRN-S, taught": Row(teacher="compact"),
    "SRN-S, taught by a strong model": Row(teacher="strong"),
    "SRN-S, photographs only": Row(stressed=False),
    "SRN-S, Adam": Row(optimizer="adam"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing, evaluate, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of HR pictures to train with")
    parser.add_argument("--teacher", type=Path, required=True, help="checkpoint of the compact teacher")
    parser.add_argument("--strong-teacher", default=STRONG_TEACHER, help="a shipped model or a checkpoint")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=ROWS, metavar="ROW", help="train these rows, write no record")
    parser.add_argument("--sets", type=Path, nargs="+", help="folders with HR/ and LR/; default: Set5 and Set14")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the record")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    environment = current_environment(threads=options.threads)
    strong = resolve(options.strong_teacher, wanted=ModelKind.CHECKPOINT).path
    teachers = {"": None, "compact": options.teacher, "strong": strong}
    for seed in options.seeds:
        for name in options.only or ROWS:
            train_row(options, teachers, name, seed)
    if not options.only:
        made_record(options, teachers, environment).save(options.records / "ablation.json")


def row_recipe(row: Row, seed: int) -> Recipe:
    """The common recipe with the row's network."""
    base = load_recipe(RECIPE)
    switches = {"attention": row.attention, "residual": row.residual, "last_conv": row.last_conv}
    return replace(base, options={**base.options, **switches}, teacher=base.teacher if row.teacher else "", seed=seed,
                   stress_fraction=base.stress_fraction if row.stressed else 0.0, optimizer=row.optimizer,
                   learning_rate=ADAM_LEARNING_RATE if row.optimizer == "adam" else base.learning_rate)


def run_folder(options: argparse.Namespace, name: str, seed: int) -> Path:
    """Of one row and seed."""
    folder: Path = options.runs / f"{name.replace(', ', '-').replace(' ', '-').lower()}-seed{seed}"
    return folder


def train_row(options: argparse.Namespace, teachers: dict[str, Path | None], name: str, seed: int) -> None:
    """Train one row with one seed, or the rest of it."""
    out, row = run_folder(options, name, seed), ROWS[name]
    run = RunOptions(device="cpu", steps=options.steps, teacher=teachers[row.teacher], resume=True)
    trainer = Trainer(row_recipe(row, seed), options.data, out, run)

    def report(progress: Progress) -> None:
        if progress.step % 400 == 0:
            print(f"{out.name}: step {progress.step}, loss {progress.loss:.4f}", flush=True)

    trainer.run(report)


def made_record(options: argparse.Namespace, teachers: dict[str, Path | None], environment: Environment) -> Record:
    """Scores of every row and seed, and of the teachers."""
    recipe = load_recipe(RECIPE)
    sets = options.sets or [data_path(name) for name in SETS]
    hashes = {kind: sha256_of_file(path) for kind, path in teachers.items() if path is not None}
    taught = {kind: {"sha256": hashes[kind], "psnr_y_db": scores(load_checkpoint(path), sets)}
              for kind, path in teachers.items() if path is not None}
    rows = []
    for name, row in ROWS.items():
        for seed in options.seeds:
            out = run_folder(options, name, seed)
            check_budget(out, options.steps, hashes[row.teacher] if row.teacher else "")
            loaded = load_checkpoint(out / "model.safetensors")
            ranges = [output_range(loaded, picture) for picture in hard_pictures().values()]
            rows.append({"row": name, **asdict(row), "seed": seed, "psnr_y_db": scores(loaded, sets),
                         "smallest_level": min(low for low, _ in ranges), "largest_level": max(h for _, h in ranges)})
    return Record(kind="ablation", title="The paper's claims, tried", environment=environment, results={
        "recipe": RECIPE, "steps": options.steps, "batch": recipe.batch, "hr_patch_px": recipe.hr_patch_px,
        "learning_rates": {"muon": recipe.learning_rate, "adam": ADAM_LEARNING_RATE},
        "blocks": recipe.options["blocks"], "seeds": options.seeds, "teachers": taught, "sets": set_names(sets),
        "pictures": pictures_of(options), "rows": rows})


def scores(loaded: LoadedNetwork, sets: Sequence[Path]) -> dict[str, float]:
    """PSNR of a network by set."""
    backend = PyTorchBackend(loaded)
    try:
        return {name: evaluated(backend, folder)["psnr_y_db"]
                for name, folder in zip(set_names(sets), sets, strict=True)}
    finally:
        backend.close()


def state_of(out: Path) -> dict[str, Any]:
    """What a run left to go on from."""
    state: dict[str, Any] = torch.load(out / STATE_FILE, map_location="cpu", weights_only=True)
    return state


def check_budget(out: Path, steps: int, teacher_sha256: str) -> None:
    """Raise OptionError for a run of another length or another teacher: its row would not compare."""
    state = state_of(out)
    if (state["step"], state["teacher_sha256"]) != (steps, teacher_sha256):
        raise OptionError(f"{out} was trained for {state['step']} steps, or by another teacher.",
                          remedy="Choose another --runs, or the --steps and --teacher of the first call.")


def pictures_of(options: argparse.Namespace) -> int:
    """How many pictures every run was trained with; raises OptionError where they differ."""
    lists = {tuple(state_of(run_folder(options, name, seed))["pictures"]) for name in ROWS for seed in options.seeds}
    if len(lists) != 1:
        raise OptionError("The runs were trained with different pictures.", remedy="Choose another --runs.")
    return len(lists.pop())


if __name__ == "__main__":
    main()
