"""The spec that is written into every artefact, its JSON, and what a user may correct about a checkpoint."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import PurePath
from typing import Self, get_type_hints

import msgspec

from srn_deploy.errors import GraphWithoutSpec, OptionError
from srn_deploy.grid import ESA_GRID, Grid

Scalar = int | float | bool | str

SPEC_KEY = "srn_deploy.spec"
"""The key of the spec in safetensors metadata and in ONNX metadata_props."""

SPEC_VERSION = 1

GRAPH_SUFFIX = ".onnx"
"""Of graphs, in upper or lower case; every other model file except an engine is read as a checkpoint."""

ENGINE_SUFFIX = ".engine"
"""Of plans of TensorRT or TensorRT-RTX, which have a manifest next to them."""


class Form(StrEnum):
    """What kind of artefact a spec describes."""

    CHECKPOINT = "checkpoint"
    PORTABLE = "portable"
    """ONNX: takes and returns float32 NCHW in 0..1; one input."""
    DEPLOY = "deploy"
    """ONNX: takes and returns NHWC pixels; with ESA it also takes the two interpolation matrices."""


class Precision(StrEnum):
    """What the network computes in; inputs and outputs keep their types."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    """The range of FP32 with 8 bits of fraction. No graph is made in it: OpenVINO computes FP32 graphs in it."""
    INT8 = "int8"
    """Convolutions with 8-bit weights and inputs; what is between them stays in FP32."""


class PixelType(StrEnum):
    """What an artefact takes and returns: uint8 in 0..255, or float32 in 0..1."""

    UINT8 = "uint8"
    FLOAT32 = "float32"


class Colour(StrEnum):
    """What the network itself works on; its artefacts take and return RGB in either case."""

    RGB = "rgb"
    Y = "y"


LARGEST_RANGE = 65535.0
"""Of the weights' values: the levels of 16 bits. Published networks have 1 or 255."""

SENSIBLE = {"scale": (1, 64), "min_side_px": (1, 1024), "alignment_px": (1, 1024), "size_multiple_px": (1, 1024),
            "halo_px": (0, 4096), "activation_bytes_per_px": (0, 2**30)}
"""Whole numbers of a spec with their least and largest value.

The largest ones are far beyond every known network (scale 8, 15 px, 6 px, 100 px, 0.5 MB), and still small enough that
no image which fits into memory leads to sizes that do not.
"""

_AGAIN = "Export the artefact again with `srn-deploy export`."


def _check_range(value_range: float) -> None:
    number = isinstance(value_range, int | float) and not isinstance(value_range, bool)
    if not number or not 0 < value_range <= LARGEST_RANGE:  # NaN is not within either
        raise OptionError(f"Value range {value_range} is not possible.",
                          remedy="Use 1 or 255, whichever the network was trained in.")


def _check_within(name: str, value: int, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        shown = str(value) if len(str(value)) < 20 else f"{str(value)[:20]}..."
        raise OptionError(f"A spec with {name} {shown} is not that of a network: it is {least} to {most}.",
                          remedy=_AGAIN)


def _check_options(options: Mapping[str, Scalar], remedy: str) -> None:
    if not isinstance(options, Mapping):
        raise OptionError(f"The options of a network are names with values, not {options!r}.", remedy=remedy)
    for name, value in options.items():
        if not isinstance(name, str) or not isinstance(value, int | float | bool | str):
            raise OptionError(f"An option of a network cannot be {name!r}: {value!r}.", remedy=remedy)


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """What a network is and what its caller must know to run it. Sizes are in pixels of the input."""

    architecture: str
    options: Mapping[str, Scalar] = field(hash=False)
    """The network's hyper-parameters, enough to build it again."""
    scale: int
    value_range: float
    """The range the weights were trained in: 255.0 or 1.0. Only export and `pytorch` need it."""
    min_side_px: int = 1
    """Smaller images are reflected up to this side before they are run."""
    alignment_px: int = 1
    """Windows of a tiled image start at multiples of this."""
    halo_px: int = 0
    """With this much context around it, a tile is within 1/255 of the whole image: measured for each network."""
    size_multiple_px: int = 1
    """Sides of images and windows must be multiples of this: images are padded by reflection, and results cropped."""
    grids: tuple[Grid, ...] = ()
    """Where the network resizes pooled cells: its tiles are exact only with the geometry of the whole image."""
    pools_whole_picture: bool = False
    """The network takes statistics over the whole image, or its tiles differ otherwise: they are never exact."""
    activation_bytes_per_px: int = 0
    """Bytes of live float32 activations per input pixel in one forward pass, which bound the tile; 0 if unknown."""
    colour: Colour = Colour.RGB
    form: Form = Form.CHECKPOINT
    pixel_type: PixelType = PixelType.FLOAT32
    precision: Precision = Precision.FP32
    source_sha256: str = ""
    """SHA-256 of the checkpoint file that the artefact was made from."""
    weights: str = ""
    """Which of the weights in that file, where it has several sets."""
    licence: str = ""
    recognised: str = ""
    """What the keys of the checkpoint did not show and was found by trying, with the figures."""
    origin: str = ""
    """Where a network comes from that is not built in, as in "RFDN in rfdn.py"."""

    def __post_init__(self) -> None:
        if not isinstance(self.architecture, str) or not self.architecture or not self.architecture.isprintable():
            raise OptionError(f"{self.architecture!r} is not the name of a network.", remedy=_AGAIN)
        _check_options(self.options, _AGAIN)
        for name, (least, most) in SENSIBLE.items():
            _check_within(name, getattr(self, name), least, most)
        _check_range(self.value_range)

    @property
    def takes_geometry(self) -> bool:
        """Whether it takes interpolation matrices, so that a window of a larger image is computed exactly."""
        return bool(self.grids) and self.form is not Form.PORTABLE

    @property
    def window_step_px(self) -> int:
        """Windows start and end at multiples of this, except at the end of the image."""
        return math.lcm(self.alignment_px, self.size_multiple_px,
                        *(step for grid in self.grids for step in (grid.cell_px, grid.row_px)))

    def to_json(self) -> str:
        """The spec as one line of JSON with sorted keys; as the first versions wrote it where they can say it."""
        told = {"version": SPEC_VERSION, **asdict(self)}
        if self.grids in ((), (ESA_GRID,)):
            told |= {_HAS_ESA: bool(self.grids), "grids": ()}
        for name, value in _SINCE_LATER.items():
            if name != "pools_whole_picture" and told[name] == value:
                del told[name]
        return json.dumps(told, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Decode a spec; raises OptionError for text that is not a spec, or one of another version."""
        try:
            version = msgspec.json.decode(text, type=_Versioned).version
            if version != SPEC_VERSION:
                raise OptionError(f"The spec has version {version}, this program reads {SPEC_VERSION}.",
                                  remedy="Export the artefact again with this version of srn-deploy.")
            document = msgspec.json.decode(text, type=_Document)
            fields = {name: getattr(document, name) for name in _FIELDS}
            if getattr(document, _HAS_ESA) and not fields["grids"]:
                fields["grids"] = (ESA_GRID,)
            return cls(**fields)
        except (TypeError, ValueError, RecursionError) as error:  # msgspec's errors and wrong UTF-8 are ValueErrors
            raise OptionError(f"This is not a model spec: {str(text)[:80]!r} ({error}).",
                              remedy="Export the artefact again with `srn-deploy export`.") from error


@dataclass(frozen=True, kw_only=True)
class Corrections:
    """What a user knows better than a checkpoint: its keys show neither the activation nor the value range.

    Empty ones are false. Raises OptionError for a value range that is not a positive, finite number.
    """

    options: Mapping[str, Scalar] = field(default_factory=dict, hash=False)
    """Hyper-parameters of the network by name; texts are converted to the type that the network expects."""
    value_range: float | None = None
    """The range the weights were trained in, 1.0 or 255.0; None leaves it to the file, or to what trying finds."""
    weights: str | None = None
    """The name of the weights to take from a file that has several sets; None takes averaged ones first."""
    network: str | None = None
    """The class of the network, as FILE.py:CLASS or package.module:CLASS; the options are its arguments. Its file is
    executed. None for networks that are recognised by their keys."""
    trust: bool = False
    """Go on with these and the published defaults where the network does not super-resolve the trial image."""

    def __post_init__(self) -> None:
        _check_options(self.options, "Write for example options={'residual': True}.")
        if self.value_range is not None:
            _check_range(self.value_range)
        if not isinstance(self.network, str | None):
            raise OptionError(f"network cannot be {self.network!r}.", remedy="Give FILE.py:CLASS, or None.")
        if not isinstance(self.weights, str | None):
            raise OptionError(f"weights cannot be {self.weights!r}.", remedy="Give the name of a set, or None.")
        if not isinstance(self.trust, bool):
            raise OptionError(f"trust cannot be {self.trust!r}.", remedy="Use True or False.")

    @classmethod
    def parse(cls, settings: Sequence[str] = (), value_range: float | None = None, *,
              weights: str | None = None, network: str | None = None, trust: bool = False) -> Self:
        """Read corrections as typed, each setting as name=value; the last one of a name holds.

        Raises OptionError for a setting of another form and for an impossible value range.
        """
        if isinstance(settings, str) or not isinstance(settings, Sequence) or not all(
                isinstance(text, str) for text in settings):
            raise OptionError(f"settings cannot be of type {type(settings).__name__}.",
                              remedy='Give a list of texts, as in ["residual=true"].')
        pairs = [text.partition("=") for text in settings]
        wrong = [text for text, (name, sign, _) in zip(settings, pairs, strict=True) if not (name and sign)]
        if wrong:
            raise OptionError(f"--set {wrong[0]}: not of the form name=value.",
                              remedy="Write for example --set residual=true.")
        return cls(options={name: value for name, _, value in pairs}, value_range=value_range,
                   weights=weights, network=network, trust=trust)

    def __bool__(self) -> bool:
        return self.changes_spec or (self.weights, self.network) != (None, None) or self.trust

    @property
    def changes_spec(self) -> bool:
        """Whether something is corrected, and not only chosen."""
        return bool(self.options) or self.value_range is not None

    def corrected_by(self, later: Corrections) -> Corrections:
        """Combine both; where they differ, the later ones hold."""
        return Corrections(options={**self.options, **later.options},
                           value_range=self.value_range if later.value_range is None else later.value_range,
                           weights=self.weights if later.weights is None else later.weights,
                           network=self.network if later.network is None else later.network,
                           trust=self.trust or later.trust)


AS_RECOGNISED = Corrections()
"""Nothing is corrected: the network is what its file says."""


def spec_in(metadata: Mapping[str, str], name: str) -> ModelSpec:
    """The spec in a graph's metadata; raises GraphWithoutSpec with the graph's name, and OptionError for a bad spec."""
    if SPEC_KEY not in metadata:
        raise GraphWithoutSpec(f"{name} does not say what network it is (no {SPEC_KEY} in its metadata).",
                               remedy=f"Make a graph of it that does: srn-deploy export {name} -o NAME.onnx")
    return ModelSpec.from_json(metadata[SPEC_KEY])


class _Versioned(msgspec.Struct):
    """What every version of a spec has."""

    version: int


_FIELDS = get_type_hints(ModelSpec)
"""Name to type."""

_SINCE_LATER: dict[str, Scalar | tuple[()]] = {
    "pools_whole_picture": False, "recognised": "", "weights": "", "size_multiple_px": 1, "origin": "", "grids": ()}
"""Fields that the first files do not have, with what holds then; all others are required in a file."""

_HAS_ESA = "has_esa"
"""What the first files say instead of `grids`, for the one grid that there was."""

_Document = msgspec.defstruct("_Document", [
    *((name, kind, _SINCE_LATER[name]) if name in _SINCE_LATER else (name, kind) for name, kind in _FIELDS.items()),
    (_HAS_ESA, bool, False)], kw_only=True)
"""A spec as it is written: the fields of ModelSpec without their defaults."""


def is_graph(path: PurePath) -> bool:
    """Whether a file is a graph, by its name."""
    return path.suffix.lower() == GRAPH_SUFFIX


def is_engine(path: PurePath) -> bool:
    """Whether a file is an engine, by its name."""
    return path.suffix.lower() == ENGINE_SUFFIX
