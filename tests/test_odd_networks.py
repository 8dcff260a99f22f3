"""Networks of users that are made in odd ways: on a GPU, with weights computed from others, with views of features."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from srn_deploy.architectures.checkpoint import LoadedNetwork
from srn_deploy.backends.pytorch import PyTorchBackend
from srn_deploy.errors import DeviceUnavailable
from srn_deploy.external.network_class import construct, load_class
from srn_deploy.external.source_files import find_source
from srn_deploy.spec import ModelSpec
from tests.own_network_files import ODD, forgotten_modules, write


@pytest.fixture(autouse=True)
def nothing_stays_imported() -> Iterator[None]:
    """The modules of one test are not those of the next."""
    with forgotten_modules():
        yield


def made(folder: Path, name: str) -> torch.nn.Module:
    """A network of the file with odd ones."""
    source = find_source(f"{write(folder, 'odd.py', ODD)}:{name}")
    return construct(load_class(source), {}, source.title)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_class_that_is_made_on_a_gpu_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(DeviceUnavailable, match=r"MadeOnGpu in odd\.py asks for a GPU"):
        made(tmp_path, "MadeOnGpu")


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_views_of_features_work_on_the_pixels_of_the_deploy_form_and_computed_weights_can_be_copied(
        tmp_path: Path) -> None:
    loaded = LoadedNetwork(network=made(tmp_path, "Viewing"),
                           spec=ModelSpec(architecture="v", options={}, scale=2, value_range=1.0))
    with closing(PyTorchBackend(loaded, channels_last=False)) as backend:
        assert backend.run(np.zeros((1, 9, 11, 3), np.uint8)).shape == (1, 18, 22, 3)
