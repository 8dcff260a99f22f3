"""Which windows an image is run in: from what the network, the device and the user allow."""

from __future__ import annotations

import logging
import operator
from dataclasses import dataclass
from types import NoneType

from srn_deploy.errors import OptionError, TilingError
from srn_deploy.spec import ModelSpec
from srn_deploy.system.arguments import check_kind
from srn_deploy.tiling.shapes import Limits, ShapeRange
from srn_deploy.tiling.tiles import (
    SMALLEST_TILE_PX,
    Span,
    Tile,
    largest_tile_px,
    plan_equal_windows,
    plan_side,
    rounded_up,
    tiles_of,
)

ROW_OF_TILES_BYTES = 160 * 2**20
"""The most result, as RGB of 8 bits, that a row of tiles gives: what is written while the next row is computed. The
rows of a wide image are lower for it, and their tiles wider."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TileOptions:
    """How an image is cut into tiles; sides are in LR pixels. Raises OptionError for values that cannot work."""

    tile: int | str | None = "auto"
    """The side that a tile contributes; "auto" chooses it by the memory bound; None runs the whole image at once."""
    halo: int | None = None
    """Context around a tile; None takes what was measured for the network."""
    activation_bytes: int | None = None
    """Memory that the activations of a batch may take; None takes the device's bound."""
    tiles_per_batch: int = 1

    def __post_init__(self) -> None:
        if self.tile is not None and not (isinstance(self.tile, str) and self.tile == "auto"):
            object.__setattr__(self, "tile", _whole_number("tile", self.tile))
        if self.halo is not None:
            object.__setattr__(self, "halo", _whole_number("halo", self.halo))
        if isinstance(self.tile, int) and self.tile < SMALLEST_TILE_PX:
            raise OptionError(f"A tile of {self.tile} px is nearly all halo.",
                              remedy=f"Use at least {SMALLEST_TILE_PX}.")
        for name in ("activation_bytes", "tiles_per_batch"):
            check_kind(getattr(self, name), (int, NoneType) if name == "activation_bytes" else int, name,
                       remedy="Leave it out for a sensible value.")
        least = 1 if self.activation_bytes is None else self.activation_bytes
        if (self.halo or 0) < 0 or min(least, self.tiles_per_batch) < 1:
            raise OptionError("Halo, activation bytes and tiles per batch cannot be negative or zero.",
                              remedy="Leave them out for sensible values.")

    def halo_of(self, spec: ModelSpec) -> int:
        """The context around a tile of this network, in LR pixels: a multiple of what its sides must be."""
        return rounded_up(spec.halo_px if self.halo is None else self.halo, spec.size_multiple_px)


WHOLE_IMAGE = TileOptions(tile=None)
"""No tiles: the whole image at once."""


@dataclass(frozen=True, kw_only=True)
class ImageBatching:
    """How many images of one size, each a single window, run at once. Raises OptionError for less than one."""

    images: int = 1
    largest_px: int | None = None
    """Pixels of an image; larger ones run one by one. None: any that are a single window."""

    def __post_init__(self) -> None:
        for name in ("images", "largest_px"):
            check_kind(getattr(self, name), (int, NoneType) if name == "largest_px" else int, name,
                       remedy="Give a whole number from 1.")
        if min(self.images, 1 if self.largest_px is None else self.largest_px) < 1:
            raise OptionError("Images of a batch and their pixels cannot be negative or zero.",
                              remedy="Give whole numbers from 1.")


ONE_BY_ONE = ImageBatching()
"""No image waits for another."""


def _whole_number(name: str, value: object) -> int:
    """Any integer type as int; raises OptionError for other types."""
    try:
        return operator.index(value)  # type: ignore[arg-type]  # other types raise TypeError
    except TypeError as error:
        raise OptionError(f"A {name} cannot be {value!r}.", remedy="Use auto, none or a number of pixels.") from error


def choose_tile_px(spec: ModelSpec, limits: Limits, height: int, width: int, options: TileOptions) -> int | None:
    """The tile side for an image by the memory it may take; None runs the whole image at once."""
    tile_px = _tile_px(spec, limits, height, width, options)
    if options.tile == "auto" and tile_px is not None:
        window_px = tile_px + 2 * options.halo_of(spec)
        allowed = options.activation_bytes or limits.activation_bytes
        if _working_bytes(spec, min(window_px, height), min(window_px, width)) > allowed:
            _log.warning("The smallest sensible tile (%d px and its halo) takes more memory than the bound.", tile_px)
    return tile_px


def row_of_tiles_px(spec: ModelSpec, limits: Limits, height: int, width: int, options: TileOptions) -> int:
    """The most rows of an image that a row of its tiles contributes; raises TilingError as `planned_windows`."""
    tile_px = _tile_px(spec, limits, height, width, options)
    tiles = planned_windows(spec, limits, height, width, tile_px, options)
    return max(tile.rows.core_stop - tile.rows.core_start for tile in tiles)


def _tile_px(spec: ModelSpec, limits: Limits, height: int, width: int, options: TileOptions) -> int | None:
    if options.tile is None or isinstance(options.tile, int):
        return options.tile
    allowed = options.activation_bytes or limits.activation_bytes
    is_one_row = height <= _most_rows_px(spec, width) or not is_tileable(spec) or spec.pools_whole_picture
    if is_one_row and _working_bytes(spec, height, width) <= allowed:
        return None
    return largest_tile_px(budget_bytes=allowed // options.tiles_per_batch, halo_px=options.halo_of(spec),
                           bytes_per_px=spec.activation_bytes_per_px, alignment_px=spec.window_step_px)


def whole_images_at_once(spec: ModelSpec, limits: Limits, height: int, width: int, options: TileOptions) -> int:
    """How many images of a size may run at once by their memory; 1 where they need tiles."""
    allowed = options.activation_bytes or limits.activation_bytes
    most = allowed // max(1, _working_bytes(spec, height, width))
    if limits.largest_batch is not None:
        most = min(most, limits.largest_batch)
    if most < 2:
        return 1
    tile_px = choose_tile_px(spec, limits, height, width, options)
    return most if len(planned_windows(spec, limits, height, width, tile_px, options)) == 1 else 1


def _most_rows_px(spec: ModelSpec, width: int) -> int:
    """Rows of an image of this width whose result is not more than a row of tiles may give."""
    return max(SMALLEST_TILE_PX, ROW_OF_TILES_BYTES // (3 * spec.scale**2 * width))


def _sides_px(spec: ModelSpec, width: int, tile_px: int | None, halo_px: int,
              options: TileOptions) -> tuple[int | None, int | None]:
    """(rows, columns) of a tile of about tile_px a side; only a side that is chosen automatically is changed."""
    if tile_px is None or options.tile != "auto" or (rows_px := _most_rows_px(spec, width)) >= tile_px:
        return tile_px, tile_px
    window_px, step = tile_px + 2 * halo_px, spec.window_step_px
    cols_px = window_px**2 // (rows_px + 2 * halo_px + step) - 2 * halo_px
    return rows_px, max(cols_px - cols_px % step, tile_px)


def _working_bytes(spec: ModelSpec, height: int, width: int) -> int:
    """Memory for the activations of one window and its float32 matrices, which exist twice while they are stacked."""
    grids = spec.grids if spec.takes_geometry else ()
    matrices = sum(2 * 4 * (height**2 + width**2) // (grid.cell_px * grid.row_px) for grid in grids)
    return height * width * spec.activation_bytes_per_px + matrices


def is_tileable(spec: ModelSpec) -> bool:
    """Whether a model can run tiles: a portable graph of a network with grids computes something else on them."""
    return spec.takes_geometry or not spec.grids


def planned_windows(spec: ModelSpec, limits: Limits, height: int, width: int, tile_px: int | None,
                    options: TileOptions) -> list[Tile]:
    """Tiles of at most tile_px (None: the whole image) whose windows the opened model takes.

    Of several ranges of shapes, the one with the fewest pixels to run is taken. Raises TilingError where the image
    cannot be cut into any of them, and where the network cannot be tiled at all.
    """
    halo_px = options.halo_of(spec)
    sides_px = _sides_px(spec, width, tile_px, halo_px, options)
    if limits.shapes:
        tiles = _fewest_pixels([_tiles_in(shapes, spec, (height, width), sides_px, halo_px)
                                for shapes in limits.shapes])
    else:
        rows, cols = (plan_side(side, tile_px=tile or max(height, width), halo_px=halo_px,
                                alignment_px=spec.window_step_px,
                                min_side_px=rounded_up(spec.min_side_px, spec.size_multiple_px))
                      for side, tile in zip((height, width), sides_px, strict=True))
        tiles = tiles_of(rows, cols)
    if not tiles:
        takes, step = ", ".join(map(str, limits.shapes)), spec.window_step_px
        raise TilingError(f"The model takes images of {takes} (height x width); {height}x{width} cannot be cut "
                          f"into them with a halo of {halo_px} px.",
                          remedy="Give a smaller --halo, or build an engine with other --shapes: for tiles they "
                                 f"must span more than {step} px a side, up to more than {2 * halo_px + step}.")
    if len(tiles) > 1 and not is_tileable(spec):
        raise TilingError(f"An image of {width} x {height} px needs tiles, and a portable graph of a network with "
                          "ESA or another grid computes something else on tiles.",
                          remedy="Use the deploy graph (srn-deploy export without --portable), or --tile none.")
    return tiles


def _fewest_pixels(plans: list[list[Tile]]) -> list[Tile]:
    """The plan with the fewest pixels to run; empty where all plans are."""
    possible = [plan for plan in plans if plan]
    return min(possible, key=lambda plan: sum(tile.rows.length * tile.cols.length for tile in plan), default=[])


def _tiles_in(shapes: ShapeRange, spec: ModelSpec, size: tuple[int, int], sides_px: tuple[int | None, int | None],
              halo_px: int) -> list[Tile]:
    """Tiles within one range of shapes; empty where there are none."""
    rows, cols = (_spans_in(smallest, largest, spec, side, tile_px, halo_px) for smallest, largest, side, tile_px in
                  zip(shapes.smallest, shapes.largest, size, sides_px, strict=True))
    return tiles_of(rows, cols)


def _spans_in(smallest: int, largest: int, spec: ModelSpec, side: int, tile_px: int | None,
              halo_px: int) -> list[Span]:
    """Windows of one side, each between smallest and largest; empty where there are none."""
    step = spec.window_step_px
    if smallest == largest:
        return plan_equal_windows(side, length_px=largest, halo_px=halo_px, alignment_px=step)
    room_px = (largest - 2 * halo_px) // step * step
    fits_whole = side <= largest and (tile_px is None or room_px < 1)
    chosen_px = side if fits_whole else min(tile_px or room_px, room_px)
    if chosen_px < 1:
        return []
    spans = plan_side(side, tile_px=chosen_px, halo_px=halo_px, alignment_px=step,
                      min_side_px=rounded_up(max(spec.min_side_px, smallest), spec.size_multiple_px))
    return spans if all(smallest <= span.length <= largest for span in spans) else []
