"""From a recipe and folders of images to a checkpoint; a run killed at any moment can continue where it last saved."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch

from srn_deploy.architectures import ARCHITECTURES, Architecture
from srn_deploy.architectures.checkpoint import LoadedNetwork, save_checkpoint
from srn_deploy.errors import MissingPackage, OptionError, TrainingError
from srn_deploy.system.documents import to_builtins
from srn_deploy.training import OnProgress
from srn_deploy.training.batches import Batches, TrainingBatch, validation_pair
from srn_deploy.training.curve import draw_curve
from srn_deploy.training.data import PatchBank, load_images
from srn_deploy.training.device import choose_device, has_fast_bfloat16, memory_errors_translated
from srn_deploy.training.evaluation import validation_psnr_y
from srn_deploy.training.initialization import completed, load_initial, needs_checkpoint, start_with
from srn_deploy.training.interruption import deferred_interrupt
from srn_deploy.training.muon import Muon
from srn_deploy.training.options import RunOptions
from srn_deploy.training.recipe import Recipe
from srn_deploy.training.run_folder import RunFolder, RunState
from srn_deploy.training.schedule import Progress, learning_rate
from srn_deploy.training.step_losses import set_gradients, step_losses
from srn_deploy.training.teacher import load_teacher
from srn_deploy.training.weight_init import set_first_weights

_log = logging.getLogger(__name__)

SAVE_EVERY_S = 60.0
VALIDATED_SIDES = 3
"""Smallest side of a validation image in multiples of the scale: PSNR leaves nothing of a smaller one."""
REPORT_EVERY_STEPS = 20


class Trainer:
    """One run in one folder. Creating it checks and loads everything; `run` trains."""

    def __init__(self, recipe: Recipe, data: Sequence[Path], out: Path, options: RunOptions) -> None:
        """Prepare a run. data: folders of HR images. out: the folder of the run.

        Raises OptionError, DeviceUnavailable, TrainingError, CheckpointError or OutOfMemory where the run cannot
        start, for example because another one is going on in the folder; nothing is written before everything is
        checked. The number of threads is left to the caller.
        """
        initial = load_initial(recipe, out, options.initial) if needs_checkpoint(recipe) else None
        self.recipe = completed(recipe if options.seed is None else replace(recipe, seed=options.seed), initial)
        self.options = options
        self.device = choose_device(options.device)
        self._bfloat16 = has_fast_bfloat16(self.device)
        if options.device == "auto":
            _log.info("Training on %s in %s.", self.device, "bfloat16" if self._bfloat16 else "float32")
        family = _suitable_family(self.recipe)
        self.folder = RunFolder(out)
        with ExitStack() as held, memory_errors_translated():
            held.callback(self.folder.release)
            self._prepare(family, data, initial)
            held.pop_all()  # until the end of `run`

    def _prepare(self, family: Architecture, data: Sequence[Path], needed: LoadedNetwork | None) -> None:
        """needed: the checkpoint that the run starts with, if it is needed for more than that."""
        state, out, initial = self._state_to_resume(needed), self.folder.path, needed
        if initial is None and state is None:
            initial = load_initial(self.recipe, out, self.options.initial)
            self.recipe = completed(self.recipe, initial)
        self.teacher = load_teacher(self.recipe, out, self.options.teacher, self.device, initial)
        self._check_teacher(state)
        self._load_images(data)
        if state is None:
            self.folder.create()  # after the images are loaded: a run that cannot start leaves nothing
        self._build(family, initial if state is None else None)
        self.step, self.elapsed_s = 0, 0.0
        self._loss_sum, self._loss_count = torch.zeros((), device=self.device, dtype=torch.float64), 0
        if state is not None:
            self._restore(state)

    def _state_to_resume(self, needed: LoadedNetwork | None) -> RunState | None:
        """The state to continue from, or None where a new run may start."""
        self.folder.check_not_running()
        if self.options.resume and self.folder.state.is_file():
            if self.options.initial is not None and needed is None:
                _log.warning("The run continues with its own weights: --initial is not used.")
            return self.folder.resume(self.recipe)
        if self.options.resume:
            _log.warning("%s holds no run to continue: this one starts at step 0.", self.folder.path)
        self.folder.check_free()
        return None

    def _check_teacher(self, state: RunState | None) -> None:
        """Check that a resumed run keeps its teacher, and that there is something to learn from."""
        sha256 = "" if self.teacher is None else self.teacher.sha256
        recorded = sha256 if state is None or state.teacher_sha256 is None else state.teacher_sha256
        if recorded and recorded != sha256:
            raise TrainingError(f"The run in {self.folder.path} started with {'another' if sha256 else 'a'} teacher.",
                                remedy="Give that checkpoint with --teacher, or choose another --out.")
        if recorded != sha256:
            raise TrainingError(f"The run in {self.folder.path} started without a teacher.",
                                remedy="Leave out --teacher, or choose another --out.")
        if not sha256 and not self.recipe.pixel_weight:
            raise OptionError(f"Recipe {self.recipe.name} learns only from a teacher, and there is none.",
                              remedy="Give a checkpoint with --teacher, or a pixel_weight above 0.")

    def _load_images(self, data: Sequence[Path]) -> None:
        recipe = self.recipe
        images = load_images(data, recipe.scale, made_lr=recipe.degradation != "bicubic",
                             smallest_px=max(recipe.hr_patch_px, VALIDATED_SIDES * recipe.scale),
                             lr_pattern=self.options.lr_pattern, copy_scale=recipe.copy_scale)
        if images.is_validated_on_itself:
            _log.warning("There is only one image: it is used for training and for validation.")
        if not images.hr.fits(self.device):
            _log.info("The images (%.1f GiB) stay in the host's memory, because that of %s is too small.",
                      images.hr.bytes / 2**30, self.device)
        bank = PatchBank(images, scale=recipe.scale, hr_patch_px=recipe.hr_patch_px, device=self.device)
        self.batches = Batches(recipe, bank)
        self.validation = [validation_pair(recipe, pair, number) for number, pair in enumerate(images.validation)]
        self.image_names = images.names

    def _build(self, family: Architecture, initial: LoadedNetwork | None) -> None:
        with torch.random.fork_rng(devices=[]):  # leaves the random state of the caller alone
            torch.manual_seed(self.recipe.seed)
            network, average = (family.build(self.recipe.options) for _ in range(2))
            set_first_weights(network)
        self.initial_sha256 = ""
        if initial is not None:
            self.initial_sha256 = initial.spec.source_sha256
            start_with(network, initial, self.recipe)
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = average.to(self.device).eval().requires_grad_(False)
        self.average.load_state_dict(self.network.state_dict())
        kind = Muon if self.recipe.optimizer == "muon" else torch.optim.Adam
        self.optimizer = kind([p for p in self.network.parameters() if p.requires_grad], lr=self.recipe.learning_rate)

    def run(self, report: OnProgress = lambda progress: None) -> Path:
        """Train to the end of the budget; returns the path of the checkpoint with the averaged weights.

        Ctrl-C ends the current step, saves, and raises KeyboardInterrupt; a second one does not wait for the step.
        Raises TrainingError where loss or weights are no longer finite, or the folder cannot be written. However it
        ends, other runs can have the folder afterwards.
        """
        with ExitStack() as held, deferred_interrupt() as interruption, memory_errors_translated():
            held.callback(self.folder.release)
            if self.step == 0:
                self._save()  # before the first row of the log
                self._validate()
            began, saved_s = time.monotonic() - self.elapsed_s, self.elapsed_s
            while (share := self._share()) < 1.0 and not interruption.requested:
                self._train_step(share)
                self.elapsed_s = time.monotonic() - began
                self._after_step(report)
                if self.elapsed_s - saved_s > SAVE_EVERY_S:
                    self._save()
                    saved_s = self.elapsed_s
            return self._finish(stopped=interruption.requested and self._share() < 1.0)

    def _after_step(self, report: OnProgress) -> None:
        """Validate and report progress at the steps where this is due."""
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
            _log.warning("The curve was not plotted: %s %s", error.message, error.remedy)
        return self.folder.checkpoint

    def _train_step(self, share: float) -> None:
        """Take one optimizer step, and add its loss (for pixels in 0..1) to the sum for the log."""
        batch = self._batch()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, share)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bfloat16):
            losses = step_losses(self.recipe, self.network, batch, self.teacher)
        set_gradients(self.network, losses, self.recipe.gradient_clip)
        self.optimizer.step()
        self._average()
        self._loss_sum += torch.stack(losses).detach().sum()
        self._loss_count += 1
        self.step += 1

    def _batch(self) -> TrainingBatch:
        return self.batches.batch(self.step)

    def _share(self) -> float:
        return self.options.budget.share(self.recipe, self.step, self.elapsed_s)

    @torch.no_grad()
    def _average(self) -> None:
        # Averages forget faster at the start, so that the first validations mean something.
        decay = min(self.recipe.ema_decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1 - decay)

    def _mean_loss(self) -> float:
        """Mean loss of the steps since the last validation; raises TrainingError if it is no longer finite."""
        if not self._loss_count:
            return math.nan
        loss = float(self._loss_sum) / self._loss_count
        if not math.isfinite(loss):
            raise self._diverged("loss is")
        return loss

    def _validate(self) -> float:
        """Add a row to the log and start a new mean; returns the mean loss. At most one row per step is added."""
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
        """Save state and checkpoint; weights that are not finite never replace good ones."""
        self._mean_loss()
        if not all(bool(torch.isfinite(value).all()) for value in self.network.parameters()):
            raise self._diverged("weights are")
        self.folder.save_state(RunState(
            step=self.step, elapsed_s=self.elapsed_s, network=self.network.state_dict(),
            average=self.average.state_dict(), optimizer=self.optimizer.state_dict(), recipe=to_builtins(self.recipe),
            pictures=self.image_names, initial_sha256=self.initial_sha256,
            teacher_sha256="" if self.teacher is None else self.teacher.sha256,
            loss_sum=float(self._loss_sum), loss_count=self._loss_count))
        save_checkpoint(self.folder.checkpoint, self.average, architecture=self.recipe.architecture,
                        options=self.recipe.options, value_range=self.recipe.value_range)

    def _restore(self, state: RunState) -> None:
        self.network.load_state_dict(state.network)
        self.average.load_state_dict(state.average)
        self.optimizer.load_state_dict(state.optimizer)
        self.step, self.elapsed_s = state.step, state.elapsed_s
        self._loss_sum += state.loss_sum
        self._loss_count = state.loss_count
        self.initial_sha256 = state.initial_sha256
        if state.pictures not in (None, self.image_names):
            _log.warning("The run started with other images: validations before and after cannot be compared.")

    def _diverged(self, what: str) -> TrainingError:
        return TrainingError(f"The {what} no longer finite at step {self.step}; {self.folder.state} is from before.",
                             remedy="Lower learning_rate or gradient_clip in a copy of the recipe and start again.")


def _suitable_family(recipe: Recipe) -> Architecture:
    """The recipe's architecture; raises OptionError if it is unknown or cannot be trained with this recipe."""
    family = ARCHITECTURES.get(recipe.architecture)
    if family is None:
        raise OptionError(f"Recipe {recipe.name}: there is no architecture {recipe.architecture!r}.",
                          remedy=f"Known architectures are: {', '.join(ARCHITECTURES)}.")
    if recipe.options.get("mean_shift", recipe.architecture == "edsr") and recipe.value_range != 255:
        raise OptionError(f"Recipe {recipe.name}: the mean shift of EDSR needs the value range 0..255.",
                          remedy="Set mean_shift = false in the options, or value_range = 255.0.")
    smallest_px = family.describe(recipe.options).min_side_px * recipe.scale
    if recipe.hr_patch_px < smallest_px:
        raise OptionError(f"Recipe {recipe.name}: an HR patch of {recipe.hr_patch_px} px is too small for its network.",
                          remedy=f"Choose an hr_patch_px of at least {smallest_px}.")
    return family
