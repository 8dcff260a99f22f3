"""What every artefact promises: the frozen spec that travels inside it, and its JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from pathlib import PurePath
from typing import Any, Self

from srn_deploy.errors import GraphWithoutSpec, OptionError

Scalar = int | float | bool | str

SPEC_KEY = "srn_deploy.spec"
"""Where the spec lies in safetensors metadata and in ONNX metadata_props."""

SPEC_VERSION = 1

GRAPH_SUFFIX = ".onnx"
"""Whatever ends so, in any case, is a graph; every other model file but an engine is read as a checkpoint."""

ENGINE_SUFFIX = ".engine"
"""A plan of TensorRT or TensorRT-RTX, its manifest beside it."""


class Form(StrEnum):
    """What kind of artefact a spec describes."""

    CHECKPOINT = "checkpoint"
    PORTABLE = "portable"
    """ONNX: float32 NCHW 0..1 in and out, one input."""
    DEPLOY = "deploy"
    """ONNX: NHWC pixels in and out; with ESA also the two interpolation matrices."""


class Precision(StrEnum):
    """What the network computes in; inputs and outputs keep their types."""

    FP32 = "fp32"
    FP16 = "fp16"


class PixelType(StrEnum):
    """What an artefact exchanges: uint8 in 0..255, or float32 in 0..1."""

    UINT8 = "uint8"
    FLOAT32 = "float32"


class Colour(StrEnum):
    """What a network itself works on; its artefacts take and give RGB all the same."""

    RGB = "rgb"
    Y = "y"


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """What a network is and what it asks of its caller. Sizes in LR pixels."""

    architecture: str
    options: Mapping[str, Scalar] = field(hash=False)
    """The network's hyper-parameters, enough to build it anew."""
    scale: int
    value_range: float
    """The range the weights were trained in: 255.0 or 1.0. Only export and `pytorch` need it."""
    min_side_px: int = 1
    """Below this a picture is reflected up to it before it is run."""
    alignment_px: int = 1
    """Windows of a tiled picture start at multiples of this."""
    halo_px: int = 0
    """Measured: with this much context a tile is within 1/255 of the whole picture."""
    has_esa: bool = False
    """The network pools on a grid: tiles are exact only with the geometry of the whole picture."""
    pools_whole_picture: bool = False
    """The network takes statistics over all it is given: tiles of it are near the whole picture, never exact."""
    activation_bytes_per_px: int = 0
    """Live float32 activations of one forward pass per LR pixel: bounds the tile. 0 is unknown: no bound."""
    colour: Colour = Colour.RGB
    form: Form = Form.CHECKPOINT
    pixel_type: PixelType = PixelType.FLOAT32
    precision: Precision = Precision.FP32
    source_sha256: str = ""
    """Of the checkpoint file that the artefact was made from."""
    licence: str = ""

    def __post_init__(self) -> None:
        if self.scale < 1:
            raise OptionError(f"Scale {self.scale} is not possible.", remedy="Use 2, 3 or 4.")
        if self.value_range <= 0:
            raise _impossible_range(self.value_range)

    @property
    def takes_geometry(self) -> bool:
        """Whether a window of a larger picture can be run as what it is: with its matrices."""
        return self.has_esa and self.form is not Form.PORTABLE

    def to_json(self) -> str:
        """The spec as one line of JSON with sorted keys."""
        return json.dumps({"version": SPEC_VERSION, **asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a spec back; raises OptionError for text that is none."""
        try:
            data: dict[str, Any] = {"pools_whole_picture": False, **json.loads(text)}  # the first files lack it
            version = data.pop("version")
            if version != SPEC_VERSION:
                raise OptionError(f"The spec has version {version}, this program reads {SPEC_VERSION}.",
                                  remedy="Export the artefact again with this version of srn-deploy.")
            data |= {"colour": Colour(data["colour"]), "form": Form(data["form"]),
                     "pixel_type": PixelType(data["pixel_type"]), "precision": Precision(data["precision"])}
            _check_types(data)
            return cls(**{f.name: data[f.name] for f in fields(cls)})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise OptionError(f"This is no model spec: {text[:80]!r} ({error}).",
                              remedy="Export the artefact again with `srn-deploy export`.") from error


@dataclass(frozen=True, kw_only=True)
class Corrections:
    """What a user knows better than a checkpoint: its keys show neither the activation nor the value range.

    Empty ones are false. Raises OptionError for a value range that is not a positive, finite number.
    """

    options: Mapping[str, Scalar] = field(default_factory=dict, hash=False)
    """Hyper-parameters of the network by name; texts are converted to the type that the network expects."""
    value_range: float | None = None
    """The range the weights were trained in, 1.0 or 255.0; None leaves it to the file or the network family."""

    def __post_init__(self) -> None:
        if self.value_range is not None and not 0 < self.value_range < math.inf:
            raise _impossible_range(self.value_range)

    @classmethod
    def parse(cls, settings: Sequence[str] = (), value_range: float | None = None) -> Self:
        """Read corrections as typed, each setting as name=value; the last one of a name holds.

        Raises OptionError for a setting of another form and for an impossible value range.
        """
        pairs = [text.partition("=") for text in settings]
        if wrong := next((text for text, (_, sign, _) in zip(settings, pairs, strict=True) if not sign), None):
            raise OptionError(f"--set {wrong}: not of the form name=value.",
                              remedy="Write for example --set residual=true.")
        return cls(options={name: value for name, _, value in pairs}, value_range=value_range)

    def __bool__(self) -> bool:
        return bool(self.options) or self.value_range is not None

    def corrected_by(self, later: Corrections) -> Corrections:
        """Combine both; where they differ, the later ones hold."""
        return Corrections(options={**self.options, **later.options},
                           value_range=self.value_range if later.value_range is None else later.value_range)


AS_RECOGNISED = Corrections()
"""Nothing is corrected: the network is what its file says."""


def _impossible_range(value_range: float) -> OptionError:
    return OptionError(f"Value range {value_range} is not possible.",
                       remedy="Use 1 or 255, whichever the network was trained in.")


def spec_in(metadata: Mapping[str, str], name: str) -> ModelSpec:
    """The spec among a graph's metadata; raises GraphWithoutSpec with the graph's name."""
    if SPEC_KEY not in metadata:
        raise GraphWithoutSpec(f"{name} does not say what network it is (no {SPEC_KEY} in its metadata).",
                               remedy="Export it from its checkpoint with `srn-deploy export`.")
    return ModelSpec.from_json(metadata[SPEC_KEY])


_WHOLE, _REAL, _TEXT = (int,), (int, float), (str,)

_JSON_TYPES: Mapping[str, tuple[type, ...]] = {
    "architecture": _TEXT, "options": (dict,), "scale": _WHOLE, "value_range": _REAL, "min_side_px": _WHOLE,
    "alignment_px": _WHOLE, "halo_px": _WHOLE, "has_esa": (bool,), "activation_bytes_per_px": _WHOLE,
    "source_sha256": _TEXT, "licence": _TEXT}
"""Of a spec's fields in JSON; the others are enumerations."""


def _check_types(data: Mapping[str, Any]) -> None:
    """Raise ValueError with the first field of another type."""
    for name, kinds in _JSON_TYPES.items():
        if type(data[name]) not in kinds:
            raise ValueError(f"{name} is {data[name]!r}")


def is_graph(path: PurePath) -> bool:
    """Whether a model file is a graph by its name."""
    return path.suffix.lower() == GRAPH_SUFFIX


def is_engine(path: PurePath) -> bool:
    """Whether a model file is an engine by its name."""
    return path.suffix.lower() == ENGINE_SUFFIX
