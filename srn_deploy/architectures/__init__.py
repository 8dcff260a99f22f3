"""The networks: one module per family, with its layers, how its checkpoints are recognised, and its `ModelSpec`.

`detect` finds the family of a state dict. The halo of a network, its value range and its smallest side are decided in
the `_describe` of its module (for RFDN, in `rfdn.py`). `checkpoint` opens files, `signature` defines what a family is,
`families` adds those of other packages.
"""

from __future__ import annotations

from torch import nn

from srn_deploy.architectures import (
    bsrn,
    carn,
    dipnet,
    ecbsr,
    edsr,
    efdn,
    fmen,
    fsrcnn,
    imdn,
    rfdn,
    rlfn,
    rrdbnet,
    span,
    spanv2,
    srcnn,
    srn,
    srvgg,
    vdsr,
)
from srn_deploy.architectures.families import Families
from srn_deploy.architectures.signature import Architecture, StateDict
from srn_deploy.errors import UnknownNetwork
from srn_deploy.spec import ModelSpec

ARCHITECTURES = Families(module.ARCHITECTURE for module in (
    srn, edsr, rlfn, dipnet, rfdn, imdn, carn, ecbsr, srcnn, fsrcnn, vdsr, efdn, fmen, bsrn, spanv2, srvgg, rrdbnet,
    span))
"""Family by name, those of other packages included. To add one, write a module here and name it in this line, or make a
package of its own (see CONTRIBUTING.md)."""

__all__ = ["ARCHITECTURES", "Architecture", "StateDict", "build_from", "detect", "unknown_network"]


def build_from(spec: ModelSpec) -> nn.Module:
    """Build the network that a spec describes, with random weights; raises UnknownNetwork, OptionError."""
    if spec.architecture not in ARCHITECTURES:
        raise UnknownNetwork(f"This version does not know the network {spec.architecture!r}.",
                             remedy=f"Known: {', '.join(ARCHITECTURES)}. A newer srn-deploy may know more.")
    return ARCHITECTURES[spec.architecture].build(spec.options)


def detect(state: StateDict) -> Architecture:
    """The one family whose signature matches a state dict; raises UnknownNetwork, which quotes the first keys."""
    found = ARCHITECTURES.recognising(state.keys())
    if len(found) == 1:
        return found[0]
    raise unknown_network(state)


def unknown_network(state: StateDict) -> UnknownNetwork:
    """The error for a state dict that no signature matches, or several: it quotes the first keys."""
    return UnknownNetwork(f"No known network has these {len(state)} tensors "
                          f"(first keys: {', '.join(list(state)[:4]) or 'none'}).",
                          remedy=f"{_resemblance(state)} Known: {', '.join(ARCHITECTURES)}. "
                                 "If you have its code: --network FILE.py:CLASS. Many others are known with "
                                 "spandrel: pip install '.[spandrel]'. See docs/networks.md.")


def _resemblance(state: StateDict) -> str:
    """A sentence that names the nearest family and the keys that differ."""
    nearest = max(ARCHITECTURES.values(), key=lambda family: family.likeness(state.keys())[0])
    likeness, signature = nearest.likeness(state.keys())
    if likeness == 0:
        return "They are not similar to any known network."
    missing = ", ".join(key for key in signature.required if key not in state)
    surplus = ", ".join(key for key in signature.forbidden if key in state)
    faults = [f"{missing} is missing"] * bool(missing) + [f"{surplus} is not expected"] * bool(surplus)
    return f"Nearest is {nearest.name} ({nearest.title}), but {' and '.join(faults) or 'others match as well'}."
