"""srn-deploy: from a trained super-resolution checkpoint to a production engine, verified at every step.

    import srn_deploy

    with srn_deploy.load() as upscaler:          # the default model on the best device
        large = upscaler.upscale(small)          # (H, W, 3) uint8 to (4H, 4W, 3)

Importing loads nothing heavy: numpy and the backends are imported when something is opened.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from srn_deploy.api import Upscaler, load
    from srn_deploy.backends import open_backend
    from srn_deploy.errors import SrnDeployError
    from srn_deploy.image.output_size import OutputSize
    from srn_deploy.inference.result_options import ResultOptions
    from srn_deploy.spec import Corrections, ModelSpec
    from srn_deploy.system.threads import cpu_threads
    from srn_deploy.tiling.windows import TileOptions
    from srn_deploy.video.options import VideoOptions

# ONNX Runtime 1.29 and later report usage to their makers, also from Linux and macOS, and keep an identifier in the
# home folder, unless this is set before they are loaded. A value that the user has set stays.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"

__all__ = ["Corrections", "ModelSpec", "OutputSize", "ResultOptions", "SrnDeployError", "TileOptions", "Upscaler",
           "VideoOptions", "__version__", "cpu_threads", "load", "open_backend"]

_HOMES = {
    "Corrections": "srn_deploy.spec",
    "ModelSpec": "srn_deploy.spec",
    "OutputSize": "srn_deploy.image.output_size",
    "ResultOptions": "srn_deploy.inference.result_options",
    "SrnDeployError": "srn_deploy.errors",
    "TileOptions": "srn_deploy.tiling.windows",
    "VideoOptions": "srn_deploy.video.options",
    "Upscaler": "srn_deploy.api",
    "cpu_threads": "srn_deploy.system.threads",
    "load": "srn_deploy.api",
    "open_backend": "srn_deploy.backends",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
