"""From a recipe and a folder to a checkpoint; killed at any moment, it goes on where it last saved."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from srn_deploy.architectures import ARCHITECTURES, Architecture
from srn_deploy.architectures.checkpoint import LoadedNetwork, save_checkpoint
from srn_deploy.errors import MissingPackage, OptionError, TrainingError
from srn_deploy.training import Notice, Report, warn
from srn_deploy.training.batches import Batches, TrainingBatch, degraded
from srn_deploy.training.beginnings import initial_network, teacher_of
from srn_deploy.training.curve import draw_curve
from srn_deploy.training.data import PatchBank, load_pictures
from srn_deploy.training.device import choose_device, has_fast_bfloat16, memory_errors_translated
from srn_deploy.training.evaluation import validation_psnr_y
from srn_deploy.training.initialise import begin_with, initialise
from srn_deploy.training.interruption import deferred_interrupt
from srn_deploy.training.losses import training_loss
from srn_deploy.training.muon import Muon
from srn_deploy.training.recipe import Degradation, Recipe
from srn_deploy.training.run_folder import RunFolder, State
from srn_deploy.training.schedule import Budget, Progress, learning_rate

SAVE_EVERY_S = 60.0
VALIDATED_SIDES = 3
"""Times the scale: a smaller picture has nothing left when PSNR crops its border."""
REPORT_EVERY_STEPS = 20


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a run is made from beside its recipe."""

    data: tuple[Path, ...]
    """Folders of pictures."""
    initial: Path | None = None
    """Checkpoint to begin with; None: what the recipe's predecessor left, if it has one."""
    teacher: Path | None = None
    """Checkpoint to learn from; None: what the recipe's teacher left, if it has one."""


class Trainer:
    """One run in one folder. Made: everything is checked and loaded; `run` does the steps."""

    def __init__(self, recipe: Recipe, inputs: Inputs, out: Path, *, device: str = "cpu",
                 budget: Budget | None = None, resume: bool = False, notice: Notice = warn) -> None:
        self.recipe, self.budget, self.notice = recipe, budget or Budget(), notice
        self.device = choose_device(device)
        self._bfloat16 = has_fast_bfloat16(self.device)
        if device == "auto":
            self.notice(f"Training on {self.device} in {'bfloat16' if self._bfloat16 else 'float32'}.")
        family = _suitable_family(recipe)
        self.folder = RunFolder(out)
        state = self._begin(resume)
        initial = initial_network(recipe, out, inputs.initial) if state is None else None
        if state is not None and inputs.initial is not None:
            self.notice("The run goes on with its own weights: --initial is not used.")
        with memory_errors_translated():
            self.teacher = teacher_of(recipe, out, inputs.teacher, self.device)
            self._check_teacher(state)
            self._load_pictures(inputs.data)
            if state is None:
                self.folder.begin()  # not before the pictures: what cannot begin leaves nothing
            self._build(family, initial)
        self.step, self.elapsed_s = 0, 0.0
        self._loss_sum, self._loss_count = torch.zeros((), device=self.device, dtype=torch.float64), 0
        if state is not None:
            self._restore(state)

    def _begin(self, resume: bool) -> State | None:
        """The state to go on from, or None where a run may begin."""
        if resume and self.folder.state.is_file():
            return self.folder.resume(self.recipe)
        if resume:
            self.notice(f"{self.folder.path} holds no run to continue: this one begins at step 0.")
        self.folder.check_free()
        return None

    def _check_teacher(self, state: State | None) -> None:
        """A run goes on with the teacher it began with, and learns from something."""
        taught = "" if self.teacher is None else self.teacher.sha256
        if state is not None and state.get("teacher_sha256", taught) != taught:
            raise TrainingError(f"The run in {self.folder.path} began with {'another' if taught else 'a'} teacher.",
                                remedy="Give that checkpoint with --teacher, or choose another --out.")
        if not taught and not self.recipe.pixel_weight:
            raise OptionError(f"Recipe {self.recipe.name} learns from a teacher alone, and there is none.",
                              remedy="Give a checkpoint with --teacher, or a pixel_weight above 0.")

    def _load_pictures(self, data: Sequence[Path]) -> None:
        recipe = self.recipe
        pictures = load_pictures(data, recipe.scale, made_lr=recipe.degradation != Degradation.BICUBIC,
                                 smallest_px=max(recipe.hr_patch_px, VALIDATED_SIDES * recipe.scale))
        for line in pictures.left_out:
            self.notice(line)
        if len(pictures.hr) == 1:
            self.notice("There is only one picture: it is trained with and validated on.")
        if not pictures.hr.fits(self.device):
            self.notice(f"The pictures ({pictures.hr.bytes / 2**30:.1f} GiB) stay in the host's memory: "
                        f"{self.device} has no room for them.")
        bank = PatchBank(pictures, scale=recipe.scale, hr_patch_px=recipe.hr_patch_px, device=self.device)
        self.batches = Batches(recipe, bank)
        self.validation = [degraded(recipe, pair, number) for number, pair in enumerate(pictures.validation)]
        self.pictures = pictures.names

    def _build(self, family: Architecture, initial: LoadedNetwork | None) -> None:
        with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they are
            torch.manual_seed(self.recipe.seed)
            network, average = (family.build(self.recipe.options) for _ in range(2))
            initialise(network)
        self.initial_sha256 = ""
        if initial is not None:
            self.initial_sha256 = initial.spec.source_sha256
            self.notice(begin_with(network, initial.network.state_dict()))
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = average.to(self.device).eval().requires_grad_(False)
        self.average.load_state_dict(self.network.state_dict())
        kind = Muon if self.recipe.optimizer == "muon" else torch.optim.Adam
        self.optimizer = kind([p for p in self.network.parameters() if p.requires_grad], lr=self.recipe.learning_rate)

    def run(self, report: Report = lambda progress: None) -> Path:
        """Train to the end of the budget; returns the checkpoint with the averaged weights.

        Ctrl-C ends the current step, saves, and raises KeyboardInterrupt; a second one does not wait.
        """
        with deferred_interrupt() as interruption, memory_errors_translated():
            if self.step == 0:
                self._save()  # before the first row of the log
                self._validate()
            began, saved_s = time.monotonic() - self.elapsed_s, self.elapsed_s
            while (share := self._share()) < 1.0 and not interruption.asked:
                self._train_step(share)
                self.elapsed_s = time.monotonic() - began
                self._after_step(report)
                if self.elapsed_s - saved_s > SAVE_EVERY_S:
                    self._save()
                    saved_s = self.elapsed_s
            return self._finish(stopped=interruption.asked and self._share() < 1.0)

    def _after_step(self, report: Report) -> None:
        """Validate and report when it is time."""
        loss = math.nan
        if validates := self.step % self.recipe.validate_every_steps == 0:
            loss = self._validate()
        if validates or self.step % REPORT_EVERY_STEPS == 0:
            report(Progress(step=self.step, share=self._share(), elapsed_s=self.elapsed_s,
                            loss=loss if validates else self._mean_loss(), psnr_y_db=self.folder.last_psnr_y_db))

    def _finish(self, *, stopped: bool) -> Path:
        if not stopped:
            self._validate()
        self._save()
        if stopped:
            raise KeyboardInterrupt(f"Stopped after step {self.step}; the state is saved in {self.folder.path}.")
        try:
            draw_curve(self.folder.log, self.folder.curve, title=self.recipe.title)
        except MissingPackage as error:
            self.notice(f"No curve was drawn. {error.message} {error.remedy}")
        return self.folder.checkpoint

    def _train_step(self, share: float) -> None:
        """One step of the optimiser; the loss on 0..1 is added to the sum for the log."""
        batch = self._batch()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, share)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bfloat16):
            taught = self.teacher(batch.lr[:batch.photos]) if self.teacher and batch.photos else None
            sr = self.network(batch.lr * self.recipe.value_range)
        loss = training_loss(self.recipe, sr.float() / self.recipe.value_range, batch.hr, taught)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.gradient_clip)
        self.optimizer.step()
        self._average()
        self._loss_sum += loss.detach()
        self._loss_count += 1
        self.step += 1

    def _batch(self) -> TrainingBatch:
        return self.batches.batch(self.step)

    def _share(self) -> float:
        return self.budget.share(self.recipe, self.step, self.elapsed_s)

    @torch.no_grad()
    def _average(self) -> None:
        # Young averages forget faster, so that the first validations mean something.
        decay = min(self.recipe.ema_decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1 - decay)

    def _mean_loss(self) -> float:
        """Of the steps since the last validation; raises TrainingError if it is no longer finite."""
        if not self._loss_count:
            return math.nan
        loss = float(self._loss_sum) / self._loss_count
        if not math.isfinite(loss):
            raise self._diverged("loss is")
        return loss

    def _validate(self) -> float:
        """Add a row to the log and begin a new mean; returns the mean loss. Once per step at most."""
        loss = self._mean_loss()
        if self.folder.last_step != self.step:
            psnr = validation_psnr_y(self.average, self.validation, scale=self.recipe.scale,
                                     value_range=self.recipe.value_range, device=self.device)
            self.folder.append((self.step, round(self.elapsed_s, 1), learning_rate(self.recipe, self._share()),
                                loss, psnr))
            self._loss_sum.zero_()
            self._loss_count = 0
        return loss

    def _save(self) -> None:
        """State and checkpoint; weights that are not finite never replace good ones."""
        self._mean_loss()
        if not all(bool(torch.isfinite(value).all()) for value in self.network.parameters()):
            raise self._diverged("weights are")
        self.folder.save_state({
            "step": self.step, "elapsed_s": self.elapsed_s, "network": self.network.state_dict(),
            "average": self.average.state_dict(), "optimizer": self.optimizer.state_dict(),
            "recipe": asdict(self.recipe), "pictures": self.pictures, "initial_sha256": self.initial_sha256,
            "teacher_sha256": "" if self.teacher is None else self.teacher.sha256,
            "loss_sum": float(self._loss_sum), "loss_count": self._loss_count})
        save_checkpoint(self.folder.checkpoint, self.average, architecture=self.recipe.architecture,
                        options=self.recipe.options, value_range=self.recipe.value_range)

    def _restore(self, state: State) -> None:
        """Go on from a state; those of earlier versions lack the pictures, the loss and what it was begun with."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.elapsed_s = state["step"], state["elapsed_s"]
        self._loss_sum += state.get("loss_sum", 0.0)
        self._loss_count = state.get("loss_count", 0)
        self.initial_sha256 = state.get("initial_sha256", "")
        if state.get("pictures", self.pictures) != self.pictures:
            self.notice("The run began with other pictures: its validations before and after do not compare.")

    def _diverged(self, what: str) -> TrainingError:
        return TrainingError(f"The {what} no longer finite at step {self.step}; {self.folder.state} is of before.",
                             remedy="Lower learning_rate or gradient_clip in a copy of the recipe and begin anew.")


def _suitable_family(recipe: Recipe) -> Architecture:
    """The recipe's architecture; raises OptionError if it is unknown or cannot take such patches."""
    family = ARCHITECTURES.get(recipe.architecture)
    if family is None:
        raise OptionError(f"Recipe {recipe.name}: there is no architecture {recipe.architecture!r}.",
                          remedy=f"Known are: {', '.join(ARCHITECTURES)}.")
    if recipe.options.get("mean_shift", recipe.architecture == "edsr") and recipe.value_range != 255:
        raise OptionError(f"Recipe {recipe.name}: the mean shift of EDSR is that of 0..255.",
                          remedy="Set mean_shift = false in the options, or value_range = 255.0.")
    smallest_px = family.describe(recipe.options).min_side_px * recipe.scale
    if recipe.hr_patch_px < smallest_px:
        raise OptionError(f"Recipe {recipe.name}: an HR patch of {recipe.hr_patch_px} px is too small for its network.",
                          remedy=f"Choose an hr_patch_px of at least {smallest_px}.")
    return family
