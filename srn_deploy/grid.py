"""Where a network resizes a map of cells to the size of its image: which cells, which pixels, how it interpolates."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from srn_deploy.errors import OptionError


class Interpolation(StrEnum):
    """The modes of ONNX's Resize."""

    NEAREST = "nearest"
    LINEAR = "linear"
    CUBIC = "cubic"


class Coordinates(StrEnum):
    """How ONNX's Resize maps a position of the result to one of its input (`coordinate_transformation_mode`)."""

    HALF_PIXEL = "half_pixel"
    PYTORCH_HALF_PIXEL = "pytorch_half_pixel"
    ALIGN_CORNERS = "align_corners"
    ASYMMETRIC = "asymmetric"


class Rounding(StrEnum):
    """Which pixel is the nearest one (`nearest_mode` of ONNX's Resize)."""

    PREFER_FLOOR = "round_prefer_floor"
    PREFER_CEIL = "round_prefer_ceil"
    FLOOR = "floor"
    CEIL = "ceil"


LARGEST_PERIOD_PX = 1024
FARTHEST_FIRST_PX = 4096


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Cells that a network pools from its image and resizes by a ratio that depends on the size of the image.

    A side of n pixels has (n - first_cell_px) // cell_px + 1 cells, which are resized to
    (n - first_row_px) // row_px + 1 rows. The defaults are bilinear interpolation to the size of the input. Raises
    OptionError for values beyond sense.
    """

    cell_px: int
    """Pixels of the input from one cell to the next."""
    first_cell_px: int
    """The shortest side with a cell; 0 or less where the image is padded before it is pooled."""
    row_px: int = 1
    """Pixels of the input from one row of the result to the next."""
    first_row_px: int = 1
    """The shortest side with a row of the result."""
    interpolation: Interpolation = Interpolation.LINEAR
    coordinates: Coordinates = Coordinates.HALF_PIXEL
    rounding: Rounding = Rounding.PREFER_FLOOR
    """Only of NEAREST."""
    cubic_coefficient: float = -0.75
    """Only of CUBIC: the `a` of Keys' kernel."""

    def __post_init__(self) -> None:
        sensible = all((1 <= self.cell_px <= LARGEST_PERIOD_PX, 1 <= self.row_px <= LARGEST_PERIOD_PX,
                        abs(self.first_cell_px) <= FARTHEST_FIRST_PX, abs(self.first_row_px) <= FARTHEST_FIRST_PX,
                        abs(self.cubic_coefficient) <= 10))
        if not sensible:
            raise OptionError(f"{self} is not the grid of a network.",
                              remedy="Export the artefact again with `srn-deploy export`.")

    def cells(self, side_px: int) -> int:
        """The cells of a side; raises ValueError where it has none."""
        if side_px < max(self.first_cell_px, 1):
            raise ValueError(f"a side of {side_px} px has no cells")
        return (side_px - self.first_cell_px) // self.cell_px + 1

    def rows(self, side_px: int) -> int:
        """The rows that the cells of a side are resized to."""
        return (side_px - self.first_row_px) // self.row_px + 1


ESA_GRID = Grid(cell_px=6, first_cell_px=15)
"""ESA in all its forms (SRN, RFDN, RLFN): 3x3 with stride 2 and 7x7 pooling with stride 3, both without padding, so a
cell sees 15 pixels and the next one begins 6 further; 14 pixels leave nothing to pool."""


def matrix_names(grids: int) -> list[str]:
    """The inputs of a graph that take the interpolation matrices of its grids: rows, cols, rows_2, cols_2, ..."""
    return [f"{side}{'' if number == 1 else f'_{number}'}" for number in range(1, grids + 1)
            for side in ("rows", "cols")]
