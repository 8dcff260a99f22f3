"""The published checkpoints of the paper's peers score what their authors' own code scores."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srn_deploy.architectures.checkpoint import load_checkpoint
from srn_deploy.backends.pytorch import PyTorchBackend
from srn_deploy.image import read_image
from srn_deploy.quality.metrics import psnr_y, ssim_y
from srn_deploy.spec import AS_RECOGNISED, Corrections

PUBLISHED = [("rlfn_x2", "bytedance__RLFN/rlfn_x2.pth"), ("rlfn_x4", "bytedance__RLFN/rlfn_x4.pth"),
             ("imdn_x2", "Zheng222__IMDN/IMDN_x2.pth"), ("imdn_x4", "Zheng222__IMDN/IMDN_x4.pth"),
             ("rfdn_team00_x4", "wnxbwyc__SRN/team00_rfdn.pth"), ("dipnet_x4", "xiumu00__DIPNet/DIPNet.pth"),
             ("carn_m_x2", "nmhkahn__CARN-pytorch/carn_m.pth"), ("carn_m_x4", "nmhkahn__CARN-pytorch/carn_m.pth")]

SMALL_OF_SET14 = ("img_004.png", "img_005.png", "img_006.png", "img_008.png")
"""The whole set takes minutes on one core."""

PSNR_DB, SSIM = 0.01, 0.0002
"""What rounding of single pixels may do: the second digit of published tables, the fourth of SSIM."""


@cache
def reference(data: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((data / "reference/reference_numbers.json").read_text())["models"]
    return found


def score(data: Path, backend: PyTorchBackend, folder: str, name: str) -> tuple[float, float]:
    """PSNR and SSIM of one picture on Y."""
    scale = backend.spec.scale
    hr, lr = (read_image(data / f"images/{folder}/x{scale}/{side}/{name}").as_rgb8() for side in ("HR", "LR"))
    sr = backend.run(lr[None])[0]
    return psnr_y(sr, hr, border_px=scale), ssim_y(sr, hr, border_px=scale)


@pytest.mark.parametrize(("name", "file"), PUBLISHED, ids=[name for name, _ in PUBLISHED])
def test_a_published_network_scores_what_its_authors_code_scores(data: Path, name: str, file: str) -> None:
    told = Corrections(options={"scale": int(name[-1])}) if name.startswith("carn_m") else AS_RECOGNISED
    backend, numbers = PyTorchBackend(load_checkpoint(data / "checkpoints" / file, told)), reference(data)[name]
    set5 = [score(data, backend, "Set5", picture) for picture in numbers["Set5"]["per_image"]]
    expected = numbers["Set5"]["mean"]
    assert np.mean([psnr for psnr, _ in set5]) == pytest.approx(expected["psnr_y"], abs=PSNR_DB)
    assert np.mean([ssim for _, ssim in set5]) == pytest.approx(expected["ssim_y"], abs=SSIM)
    for picture in SMALL_OF_SET14:
        psnr, ssim = score(data, backend, "Set14", picture)
        single = numbers["Set14"]["per_image"][picture]
        assert psnr == pytest.approx(single["psnr_y"], abs=PSNR_DB)
        assert ssim == pytest.approx(single["ssim_y"], abs=SSIM)
