"""The enlarged input that a network adds to its output is what PyTorch's interpolation gives."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.architectures.image_residual import EnlargedImage, ImageResidual

MODES = [mode for mode in ImageResidual if mode is not ImageResidual.NONE]


def interpolated(lr: torch.Tensor, scale: int, mode: ImageResidual) -> torch.Tensor:
    smooth = None if mode is ImageResidual.NEAREST else False
    return functional.interpolate(lr, scale_factor=scale, mode=mode.value, align_corners=smooth)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("mode", MODES)
def test_the_image_is_enlarged_as_pytorch_does_up_to_its_border(scale: int, mode: ImageResidual) -> None:
    lr = torch.rand(2, 3, 7, 9, generator=torch.Generator().manual_seed(0))
    # Sums of at most 25 products in another order.
    assert torch.allclose(EnlargedImage(scale, mode)(lr), interpolated(lr, scale, mode), rtol=0, atol=2e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["srn", "rlfn", "dipnet", "rfdn", "imdn"])
def test_a_network_adds_the_enlarged_image_to_its_output(name: str, mode: ImageResidual) -> None:
    family, sizes = ARCHITECTURES[name], {"scale": 2, "channels": 24, "blocks": 1}
    plain, added = family.build(sizes).eval(), family.build({**sizes, "image_residual": mode}).eval()
    added.load_state_dict(plain.state_dict())
    lr = torch.rand(1, 3, 17, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(added(lr), plain(lr) + interpolated(lr, 2, mode), rtol=0, atol=2e-6)  # as above
