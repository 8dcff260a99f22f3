"""PSNR and SSIM by the published convention: on Y, output in 8 bits, `scale` pixels cropped on each side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srn_deploy.backends.protocol import Backend
from srn_deploy.errors import OptionError
from srn_deploy.image.bicubic import resize_uint8
from srn_deploy.inference.upscale import upscale_rgb
from srn_deploy.quality.metrics import psnr_y, ssim_y
from srn_deploy.quality.pairs import find_pairs, read_pairs
from srn_deploy.tiling.windows import TileOptions

Pixels = NDArray[np.uint8]


def set_names(folders: Sequence[Path]) -> list[str]:
    """Of sets that lie as NAME/xN; raises OptionError where two would have the same."""
    names = [folder.absolute().parent.name for folder in folders]
    if len(set(names)) != len(names):
        raise OptionError(f"Two sets would both be called {max(names, key=names.count)}.",
                          remedy="Lay each as NAME/x4 with HR/ and LR/ inside.")
    return names


def upscaled(backend: Backend, lr: Pixels) -> Pixels:
    """The whole picture at once, as published figures are made."""
    return upscale_rgb(lr, backend, TileOptions(tile=None))


def evaluated(backend: Backend, folder: Path, damage: Callable[[Pixels, int], Pixels] | None = None) -> dict[str, Any]:
    """Mean PSNR in dB and SSIM of the backend and of bicubic over a set.

    damage: what happens to each LR picture before, given its number.
    """
    scale, rows = backend.spec.scale, []
    for number, (_, hr, clean) in enumerate(read_pairs(find_pairs(folder / "HR", folder / "LR", scale), scale)):
        lr = clean if damage is None else damage(clean, number)
        pictures = (upscaled(backend, lr), resize_uint8(lr, *hr.shape[:2]))
        rows += [(psnr_y(picture, hr, border_px=scale), ssim_y(picture, hr, border_px=scale)) for picture in pictures]
    (psnr, ssim), (bicubic_psnr, bicubic_ssim) = np.mean(rows[::2], axis=0), np.mean(rows[1::2], axis=0)
    return {"set": folder.absolute().parent.name, "pictures": len(rows) // 2, "psnr_y_db": psnr, "ssim_y": ssim,
            "bicubic_psnr_y_db": bicubic_psnr, "bicubic_ssim_y": bicubic_ssim}
