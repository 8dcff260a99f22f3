"""What stands in a report, before it has a form: texts, tables, charts and images."""

from __future__ import annotations

from dataclasses import dataclass

from srn_deploy.errors import OptionError


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    """A text without any marks: shown as it is."""

    text: str


@dataclass(frozen=True, kw_only=True)
class MarkdownText:
    """Texts and tables in Markdown; HTML in it is shown as text."""

    markdown: str


@dataclass(frozen=True, kw_only=True)
class DataTable:
    """A table that readers can sort by its columns."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""

    def __post_init__(self) -> None:
        if any(len(row) != len(self.head) for row in self.rows):
            raise OptionError("A table needs rows of the length of its head.", remedy="Give every row as many cells.")


@dataclass(frozen=True, kw_only=True)
class SpreadRow:
    """One series of samples; all of them alike where there is one sample."""

    name: str
    low: float
    middle: float
    high: float


@dataclass(frozen=True, kw_only=True)
class SpreadChart:
    """One row for each series: its middle, and how far its samples lie apart."""

    title: str
    unit: str
    rows: tuple[SpreadRow, ...]
    """At least one; finite values."""
    from_zero: bool = True
    """Bars from zero; otherwise points, on an axis that begins near the smallest value."""


@dataclass(frozen=True, kw_only=True)
class ScatterPoint:
    """One point; its area stands for a third value."""

    name: str
    x: float
    """Above 0: the axis is logarithmic."""
    y: float
    area: float
    is_marked: bool = False
    """Drawn in the colour that stands out."""


@dataclass(frozen=True, kw_only=True)
class ScatterChart:
    """Points over a logarithmic axis."""

    title: str
    x_label: str
    y_label: str
    points: tuple[ScatterPoint, ...]
    """At least one."""


@dataclass(frozen=True, kw_only=True)
class PictureCrop:
    """The same part of an image, as one candidate shows it."""

    candidate: str
    png: bytes
    psnr_db: float | None
    """On Y, of the whole image; None for the original, and where nothing differs from it."""
    crop_psnr_db: float | None
    """The same of this part alone."""
    is_original: bool = False


@dataclass(frozen=True, kw_only=True)
class PictureComparison:
    """One image; its candidates have equal sizes, the original stands last."""

    name: str
    place: str
    """Where in the image the part lies, in words."""
    width: int
    height: int
    """Of the part, in pixels."""
    crops: tuple[PictureCrop, ...]


Block = Paragraph | MarkdownText | DataTable | SpreadChart | ScatterChart | PictureComparison


@dataclass(frozen=True, kw_only=True)
class ReportSection:
    """A heading with what stands under it."""

    title: str
    blocks: tuple[Block, ...]
    cautions: tuple[str, ...] = ()
    """Reasons to trust the figures less, as sentences."""
    circumstances: tuple[str, ...] = ()
    """On which machine and with which versions, as sentences."""


@dataclass(frozen=True, kw_only=True)
class ReportPage:
    """A whole report."""

    title: str
    sections: tuple[ReportSection, ...]
    introduction: tuple[Block, ...] = ()
    cautions: tuple[str, ...] = ()
