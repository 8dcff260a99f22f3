"""How much time an encoder may take for a smaller file of the same pixels."""

from __future__ import annotations

from enum import StrEnum

from srn_deploy.errors import OptionError
from srn_deploy.image.containers import Container


class Effort(StrEnum):
    """Of PNG and of lossless WebP; the pixels are the same with each."""

    FAST = "fast"
    NORMAL = "normal"
    SMALL = "small"

    @classmethod
    def named(cls, name: Effort | str) -> Effort:
        """The effort of a name; raises OptionError for another one."""
        if name not in list(cls):
            raise OptionError(f"There is no effort {name!r}.", remedy=f"Use {', '.join(cls)}.")
        return cls(name)


WITH_EFFORT = frozenset({Container.PNG, Container.WEBP})
"""Formats whose files are smaller with more effort."""
