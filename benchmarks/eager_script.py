"""What file_to_file.py compares with: a plain script that runs a checkpoint in PyTorch, as its authors would.

    python benchmarks/eager_script.py CHECKPOINT IN OUT
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import torch

from srn_deploy.architectures.checkpoint import load_checkpoint


def main(checkpoint: str, source: str, target: str) -> None:
    """Load, run the whole picture eagerly in float32, save with OpenCV's own settings."""
    loaded = load_checkpoint(Path(checkpoint))
    bgr = cv2.imread(source, cv2.IMREAD_COLOR)
    if bgr is None:
        sys.exit(f"{source} cannot be read")
    rgb = torch.from_numpy(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)).permute(2, 0, 1).unsqueeze(0).float()
    gain = loaded.spec.value_range / 255
    with torch.inference_mode():
        upscaled = loaded.network(rgb * gain) / gain
    pixels = upscaled.squeeze(0).permute(1, 2, 0).clamp(0, 255).round().byte().numpy()
    cv2.imwrite(target, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main(*sys.argv[1:])
