"""What has to be the same in all runs that share an output, and what differs, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class LedgerIdentity:
    """All that decides what the runs that share an output make of a file, in words for those who compare."""

    version: str
    """Of srn-deploy."""
    model: str
    """Its spec as JSON, with what it computes in."""
    options: Mapping[str, str] = field(hash=False)
    """Name to value, of what changes results."""

    def differences(self, other: LedgerIdentity) -> Iterator[str]:
        """What differs, as in "version 1 there and 2 here"; self is what is there."""
        if self.version != other.version:
            yield f"version {self.version} of srn-deploy there and {other.version} here"
        there, here = (json.loads(each.model) if each.model else {} for each in (self, other))
        if there != here:
            named = sorted(name for name in {*there, *here} if there.get(name) != here.get(name))
            yield f"the model ({_compared('precision', there, here) if 'precision' in named else ', '.join(named)})"
        for name in sorted({*self.options, *other.options}):
            if self.options.get(name) != other.options.get(name):
                yield _compared(name, self.options, other.options)


def _compared(name: str, there: Mapping[str, object], here: Mapping[str, object]) -> str:
    return f"{name} {there.get(name, 'not known')} there and {here.get(name, 'not known')} here"
