"""Starting a run from the weights of another run's checkpoint, as the stages of the paper do."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from srn_deploy.architectures.checkpoint import LoadedNetwork
from srn_deploy.errors import OptionError
from srn_deploy.training.earlier_run import EarlierRun
from srn_deploy.training.recipe import INITIAL, Recipe
from srn_deploy.training.warm_start import deepened, rescaled

_log = logging.getLogger(__name__)


def load_initial(recipe: Recipe, out: Path, given: Path | None) -> LoadedNetwork | None:
    """Load the network whose weights a run starts with; None where the recipe starts with weights of its own.

    It comes from the given checkpoint, or else from the run of the recipe that this one follows, next to `out`.
    Raises OptionError where a recipe that needs one has none, or that file is missing, CheckpointError where it cannot
    be read.
    """
    if given is None and not recipe.follows:
        if needs_checkpoint(recipe) or recipe.warm_start != "copy":
            raise OptionError(f"Recipe {recipe.name} starts with a checkpoint, and there is none.",
                              remedy="Give its path with --initial.")
        return None
    run = EarlierRun(recipe=recipe.follows, option="--initial",
                     purpose=f"Recipe {recipe.name} starts with the weights of")
    return run.load(out, given)[1]


def needs_checkpoint(recipe: Recipe) -> bool:
    """Whether a run needs the checkpoint that it starts with also when it is resumed."""
    return INITIAL in (recipe.architecture, recipe.teacher)


def completed(recipe: Recipe, initial: LoadedNetwork | None) -> Recipe:
    """The recipe with the network of the checkpoint that it starts with, where it has none of its own.

    Raises OptionError where the checkpoint was trained with another value range than the recipe's network is.
    """
    if initial is None:
        return recipe
    spec = initial.spec
    if recipe.architecture == INITIAL:
        return replace(recipe, architecture=spec.architecture, options=dict(spec.options), value_range=spec.value_range)
    if spec.value_range != recipe.value_range:
        raise OptionError(f"The initial checkpoint was trained in 0..{spec.value_range:g}, but recipe {recipe.name} "
                          f"trains in 0..{recipe.value_range:g}: the biases would be wrong.",
                          remedy=f"Set value_range = {spec.value_range} in a copy of the recipe.")
    return recipe


@torch.no_grad()
def start_with(network: nn.Module, initial: LoadedNetwork, recipe: Recipe) -> None:
    """Give the network of a recipe the initial weights, as its warm_start says; raises OptionError as that does."""
    weights = initial.network.state_dict()
    if recipe.warm_start == "deepen":
        weights = deepened(network, weights, initial.spec.value_range)
    elif recipe.warm_start == "rescale":
        weights = rescaled(network, weights, initial.spec.scale, recipe.scale)
    copy_weights(network, weights)


@torch.no_grad()
def copy_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy every tensor of the same name and shape into the network; the log says how many, and which were not.

    What does not fit keeps its first weights: blocks that the initial network lacks, or the tail of another scale.
    Raises OptionError where no tensor fits.
    """
    current = network.state_dict()
    fitting = {key: value for key, value in weights.items() if key in current and current[key].shape == value.shape}
    if not fitting:
        raise OptionError("No tensor of the initial checkpoint fits this network.",
                          remedy="Give the checkpoint of a network of the same family and width.")
    network.load_state_dict({**current, **fitting})
    fresh = sorted(set(current) - set(fitting))
    rest = f"; not in the checkpoint: {', '.join(fresh[:3])}{' …' if len(fresh) > 3 else ''}" if fresh else ""
    _log.info("Starting with %d of %d tensors from the initial checkpoint%s.", len(fitting), len(current), rest)
