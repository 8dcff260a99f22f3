"""Trainings of the GPU report: each goes on where an earlier call stopped it, and its throughput is measured."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_outputs import folders, pack_run
from benchmarks.gpu_process import print_row
from benchmarks.gpu_sections import Rows, Scale
from benchmarks.inputs import data_path
from benchmarks.scores import evaluated
from srn_deploy.backends import open_on
from srn_deploy.registry.resolve import resolve_file
from srn_deploy.system.atomic import replacing
from srn_deploy.training import RunOptions, train
from srn_deploy.training.batches import TrainingBatch
from srn_deploy.training.recipe import load_recipe
from srn_deploy.training.recipe_store import recipe_text
from srn_deploy.training.run_folder import CHECKPOINT_FILE, STATE_FILE
from srn_deploy.training.schedule import Progress
from srn_deploy.training.trainer import Trainer

DATA = "SRN_GPU_DATA"
"""Names folders of training images, separated as in PATH; without it the real data's."""

PACK_EVERY_S = 120.0

AROUND_S = 25.0
"""Before a training PyTorch and the images are loaded, behind it the network is scored."""

REQUIRED_SHARE = 0.7
"""Of the steps per second that the network alone reaches."""

_SETS = ("Set5", "Set14")


@dataclass(frozen=True, kw_only=True)
class Training:
    """One run: a recipe for a number of minutes, over all calls together."""

    recipe: str
    minutes: float
    scored: bool = True
    """Whether its scores on the test sets are of interest."""


TRAININGS = (Training(recipe="gpu-x4", minutes=8), Training(recipe="gpu-teacher", minutes=4, scored=False),
             Training(recipe="gpu-b6-x4", minutes=7), Training(recipe="gpu-x2", minutes=6),
             Training(recipe="gpu-x4-photo", minutes=4), Training(recipe="gpu-x2-photo", minutes=4))
"""In the order in which they are trained: a recipe that follows another, or learns from it, comes after it."""

REDUCED_STEPS = 2
"""Without a GPU."""

_REDUCED = {"hr_patch_px": 64, "batch": 2, "candidates": 1}
"""What the recipes have instead without a GPU."""


def training_data() -> list[Path]:
    """Folders of originals; raises UnreadableImage where there are none."""
    given = os.environ.get(DATA)
    return [Path(one) for one in given.split(os.pathsep)] if given else [data_path("train")]


def trained(training: Training, scale: Scale) -> Rows:
    """Train to the end of the budget, or as far as the call lasts; then the scores of the averaged weights."""
    work, out = folders()
    run = work / training.recipe
    options = RunOptions(resume=(run / STATE_FILE).is_file(), device="cuda" if scale.on_gpu else "cpu",
                         minutes=training.minutes if scale.on_gpu else None,
                         steps=None if scale.on_gpu else REDUCED_STEPS)
    pace = _Pace(run, out)
    if not (out / f"run-{training.recipe}.tar").is_file() or (run / STATE_FILE).is_file():
        if not options.resume:
            yield {"remaining_s": 60 * training.minutes + AROUND_S}
        try:
            train(recipe_for(training, scale, work), training_data(), run, options, report=pace.seen)
        finally:
            if (run / STATE_FILE).is_file():
                pack_run(run, out, finished=False)
        pack_run(run, out, finished=True)
        (run / STATE_FILE).unlink()
    if training.scored:
        yield from _scores(run / CHECKPOINT_FILE, scale)


def recipe_for(training: Training, scale: Scale, work: Path) -> str:
    """The recipe's name, or the path of its reduced form, which has the same name."""
    if scale.on_gpu:
        return training.recipe
    text = recipe_text(training.recipe)
    for field, value in _REDUCED.items():
        text = re.sub(rf"^{field} = .*$", f"{field} = {value}", text, flags=re.MULTILINE)
    path = work / ".reduced" / f"{training.recipe}.toml"
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return str(path)


class _Pace:
    """Prints how much is left of a run, and packs its folder from time to time."""

    def __init__(self, run: Path, out: Path) -> None:
        self._run, self._out, self._packed_s = run, out, time.monotonic()

    def seen(self, progress: Progress) -> None:
        if progress.share:
            print_row({"remaining_s": progress.remaining_s + AROUND_S})
        if time.monotonic() - self._packed_s > PACK_EVERY_S and (self._run / STATE_FILE).is_file():
            pack_run(self._run, self._out, finished=False)
            self._packed_s = time.monotonic()


def _scores(checkpoint: Path, scale: Scale) -> Rows:
    """PSNR and SSIM on Set5 and Set14 of the real data."""
    backend, _ = open_on(resolve_file(checkpoint), "cuda" if scale.on_gpu else "cpu")
    try:
        for name in _SETS if scale.on_gpu else _SETS[:1]:
            found = evaluated(backend, data_path(f"images/{name}/x{backend.spec.scale}"))
            yield {"what": f"{checkpoint.parent.name} on {name}", "psnr_y_db": found["psnr_y_db"],
                   "ssim_y": found["ssim_y"], "bicubic_psnr_y_db": found["bicubic_psnr_y_db"]}
    finally:
        backend.close()


def throughput(scale: Scale) -> Rows:
    """Steps per second of the trainer, patches cut on the device, against forward and backward passes alone."""
    work, _ = folders()
    run = work / ".throughput"
    shutil.rmtree(run, ignore_errors=True)
    options = RunOptions(device="cuda" if scale.on_gpu else "cpu", steps=10**6)
    trainer = Trainer(load_recipe(recipe_for(TRAININGS[0], scale, work)), training_data(), run, options)
    try:
        yield from _compared(trainer, steps=300 if scale.on_gpu else 2, warm_ups=50 if scale.on_gpu else 1)
    finally:
        trainer.folder.release()
        shutil.rmtree(run, ignore_errors=True)


def _compared(trainer: Trainer, steps: int, warm_ups: int) -> Rows:
    batch = trainer.batches.batch(0)
    ways: dict[str, Callable[[], None]] = {"trainer": partial(trainer._train_step, 0.0),
                                           "network alone": partial(_network_step, trainer, batch)}
    rates: dict[str, list[float]] = {kind: [] for kind in ways}
    for kind, step in [*ways.items()] * 3:  # in turn, so that a drift of the machine affects both alike
        for _ in range(warm_ups):
            step()
        _wait(trainer)
        began = time.perf_counter()
        for _ in range(steps):
            step()
        _wait(trainer)
        rates[kind].append(steps / (time.perf_counter() - began))
    recipe = trainer.recipe
    for kind, found in rates.items():
        yield {"what": f"{kind}: {recipe.batch} patches of {recipe.hr_patch_px} px, steps per second",
               "median": sorted(found)[1], "lowest": min(found), "highest": max(found)}
    yield share_row([one / other for one, other in zip(*rates.values(), strict=True)])


def share_row(shares: Sequence[float]) -> dict[str, Any]:
    """The share of the trainer, pair by pair, and whether it is what is asked for."""
    middle = sorted(shares)[len(shares) // 2]
    return {"what": "the trainer's share of the network alone", "share": middle, "required": REQUIRED_SHARE,
            "met": middle >= REQUIRED_SHARE}


def _network_step(trainer: Trainer, batch: TrainingBatch) -> None:
    """One forward and one backward pass on a batch that lies on the device."""
    recipe = trainer.recipe
    with torch.autocast(trainer.device.type, torch.bfloat16, enabled=trainer._bfloat16):
        sr = trainer.network(batch.lr * recipe.value_range)
    loss = (sr.float() / recipe.value_range - batch.hr).abs().mean()
    trainer.network.zero_grad(set_to_none=True)
    loss.backward()


def _wait(trainer: Trainer) -> None:
    if trainer.device.type == "cuda":
        torch.cuda.synchronize()
