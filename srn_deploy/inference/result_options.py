"""What is wanted of a result, besides what the model makes of the image."""

from __future__ import annotations

from dataclasses import dataclass

from srn_deploy.image.output_size import AS_THE_MODEL_GIVES, OutputSize
from srn_deploy.image.reading import check_frame
from srn_deploy.system.arguments import check_kind


@dataclass(frozen=True, kw_only=True)
class ResultOptions:
    """What is wanted of each result of a run; raises OptionError for values of wrong types."""

    size: OutputSize = AS_THE_MODEL_GIVES
    keep_times: bool = False
    """The result has the modification time of its image, not that of its writing."""
    frame: int | None = None
    """Which frame of an animation, or page of a TIFF, is upscaled, from 1; without it they are refused."""

    def __post_init__(self) -> None:
        check_kind(self.size, OutputSize, "size", remedy="Give srn_deploy.OutputSize(width=...).")
        check_kind(self.keep_times, bool, "keep_times", remedy="Give True or False.")
        check_frame(self.frame)


AS_UPSCALED = ResultOptions()
"""Nothing else is wanted."""
