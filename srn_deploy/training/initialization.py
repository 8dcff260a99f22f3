"""Starting a run from the weights of another run's checkpoint, as the stages of the paper do."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from srn_deploy.architectures.checkpoint import LoadedNetwork
from srn_deploy.errors import OptionError
from srn_deploy.training.earlier_run import EarlierRun
from srn_deploy.training.recipe import Recipe

_log = logging.getLogger(__name__)


def load_initial(recipe: Recipe, out: Path, given: Path | None) -> LoadedNetwork | None:
    """Load the network whose weights a run starts with; None where the recipe starts with weights of its own.

    It comes from the given checkpoint, or else from the run of the recipe that this one follows, next to `out`.
    Raises OptionError where that file is missing or was trained with another value range, CheckpointError where it
    cannot be read.
    """
    if given is None and not recipe.follows:
        return None
    run = EarlierRun(recipe=recipe.follows, option="--initial",
                     purpose=f"Recipe {recipe.name} starts with the weights of")
    path, loaded = run.load(out, given)
    if loaded.spec.value_range != recipe.value_range:
        raise OptionError(f"{path} was trained in 0..{loaded.spec.value_range:g}, but recipe {recipe.name} trains in "
                          f"0..{recipe.value_range:g}: the biases would be wrong.",
                          remedy=f"Set value_range = {loaded.spec.value_range} in a copy of the recipe.")
    return loaded


@torch.no_grad()
def copy_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy every tensor of the same name and shape into the network; the log says how many, and which were not.

    This way a network of six blocks starts with the weights of one with four, and one of x2 with all but the tail of
    one of x4. Raises OptionError where no tensor fits.
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
