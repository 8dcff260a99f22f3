"""The figures and pictures of docs/tiling.md: one drawn picture, cut by the naive and by the exact way.

    python -m benchmarks.explain_tiling

Writes records/explain-tiling.json and the pictures of docs/pictures/. A test holds the text to the record.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.inputs import BENCHMARKS, RECORDS
from benchmarks.tiling_pictures import draw_cells, draw_difference, draw_shift
from benchmarks.tiling_study import WAYS, Difference, levels, tiled_both_ways
from srn_deploy.architectures.checkpoint import LoadedNetwork, load_checkpoint
from srn_deploy.architectures.complexity import count
from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend
from srn_deploy.benchmark.environment import current_environment
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.tables import markdown_table
from srn_deploy.graph.export import ExportOptions
from srn_deploy.grid import ESA_GRID
from srn_deploy.image import read_image
from srn_deploy.registry.resolve import ModelKind, resolve
from srn_deploy.spec import ModelSpec, PixelType
from srn_deploy.system.hashing import sha256_of_file
from srn_deploy.system.threads import usable_cores
from srn_deploy.tiling.shapes import ACTIVATION_BYTES
from srn_deploy.tiling.tiles import Span, Tile, largest_tile_px, plan_side, plan_tiles
from srn_deploy.verification.export_proof import export_and_prove

PICTURE = BENCHMARKS / "pictures/demo_hr.png"
PICTURES = BENCHMARKS.parent / "docs/pictures"
RECORD = RECORDS / "explain-tiling.json"

TILE_PX = 160

VISIBLE_LEVELS = 2
"""More than this is counted apart: a rounding may turn a value by one."""

MATRIX_SIDES_PX = ((339, 510), (3000, 4000))
"""(height, width) of the whole pictures whose matrices are counted: one of the paper's inputs and a photograph."""

Levels = NDArray[np.float64]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, keep the record, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--picture", type=Path, default=PICTURE)
    parser.add_argument("--record", type=Path, default=RECORD)
    parser.add_argument("--pictures", type=Path, default=PICTURES, help="folder of the drawings")
    options = parser.parse_args(arguments)
    checkpoint = resolve(wanted=ModelKind.CHECKPOINT).path
    record, tiles, differences = explained(checkpoint, options.picture, options.threads)
    record.save(options.record)
    draw_cells(record, options.pictures / "tiling-cells.png")
    width, spec = record.results["width_px"], load_checkpoint(checkpoint).spec
    draw_shift(record, [(range(span.core_start, span.core_stop), shifts) for span, shifts in shifts_px(width, spec)],
               options.pictures / "tiling-shift.png")
    draw_difference(record, tiles, differences, options.pictures / "tiling-difference.png")
    print(f"{options.record} and the drawings in {options.pictures} written.")


def explained(checkpoint: Path, picture: Path, threads: int) -> tuple[Record, list[Tile], dict[str, Levels]]:
    """The record, the tiles, and for each way the largest difference of a pixel's colours, in 8-bit levels."""
    environment = current_environment(threads=threads)
    loaded = load_checkpoint(checkpoint)
    pixels = read_image(picture).as_rgb8().astype(np.float32) / np.float32(255)
    height, width = pixels.shape[:2]
    spec = loaded.spec
    tiles = plan_tiles(height, width, tile_px=TILE_PX, halo_px=spec.halo_px, alignment_px=spec.alignment_px,
                       min_side_px=spec.min_side_px)
    differences = tiled_differences(checkpoint, pixels, threads)
    results = {"model": checkpoint.stem, "sha256": sha256_of_file(checkpoint), "picture": picture.name,
               "height_px": height, "width_px": width, "scale": spec.scale, "tile_px": TILE_PX, "halo_px": spec.halo_px,
               "windows": len(tiles), "window_shapes": sorted({tile.shape for tile in tiles}),
               "window_share": sum(math.prod(tile.shape) for tile in tiles) / (height * width),
               **{way: difference_row(found) for way, found in differences.items()},
               "largest_shift_px": max(abs(shift) for side in (height, width)
                                       for _, shifts in shifts_px(side, spec) for shift in shifts),
               "matrix_shares": matrix_shares(loaded)}
    return (Record(kind="explain-tiling", title="One drawn picture, tiled by both ways", environment=environment,
                   results=results), tiles, {way: found.max(axis=2) for way, found in differences.items()})


def tiled_differences(checkpoint: Path, pixels: NDArray[np.float32], threads: int) -> dict[str, Levels]:
    """For each way, how far every 8-bit value is from that of the whole picture: (scale*H, scale*W, 3)."""
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "float.onnx"
        export_and_prove(checkpoint, graph, ExportOptions(pixel_type=PixelType.FLOAT32))
        backend = OnnxRuntimeBackend(graph, threads=threads)
        try:
            whole = levels(backend.run(pixels[None])[0])
            tiled = tiled_both_ways(backend, pixels, TILE_PX, backend.spec.halo_px)
            return {way: np.abs(levels(found) - whole) for way, found in zip(WAYS, tiled, strict=True)}
        finally:
            backend.close()


def difference_row(found: Levels) -> dict[str, float | None]:
    """dB, the worst value, and the share of pixels that differ at all and visibly."""
    total = Difference()
    total.add(found)
    worst = found.max(axis=2)
    return {**total.row(), "changed_share": float((worst > 0).mean()),
            "visible_share": float((worst > VISIBLE_LEVELS).mean())}


def shifts_px(side_px: int, spec: ModelSpec) -> list[tuple[Span, list[float]]]:
    """Each window of a side, and for each row it contributes how far from the right place a naive one reads."""
    spans = plan_side(side_px, tile_px=TILE_PX, halo_px=spec.halo_px, alignment_px=spec.alignment_px,
                      min_side_px=spec.min_side_px)
    return [(span, [ESA_GRID.cell_px * (wanted_cell(row - span.start, span.length) + span.start / ESA_GRID.cell_px
                               - wanted_cell(row, side_px)) for row in range(span.core_start, span.core_stop)])
            for span in spans]


def wanted_cell(row: int, side_px: int) -> float:
    """The place among the cells that a row of a side is stretched from: half-pixel centres, held within the cells."""
    cells = ESA_GRID.cells(side_px)
    return min(max((row + 0.5) * cells / side_px - 0.5, 0.0), cells - 1.0)


def matrix_shares(loaded: LoadedNetwork) -> list[dict[str, Any]]:
    """What the products with the matrices cost compared with the network, counted: whole pictures, one window."""
    spec = loaded.spec
    window_px = largest_tile_px(budget_bytes=ACTIVATION_BYTES, bytes_per_px=spec.activation_bytes_per_px,
                                halo_px=spec.halo_px, alignment_px=spec.alignment_px) + 2 * spec.halo_px
    return [{"height_px": height, "width_px": width, "is_window": (height, width) == (window_px, window_px),
             "share": matrix_products(spec, height, width) / count(loaded.network, height=height, width=width).flops}
            for height, width in (*MATRIX_SIDES_PX, (window_px, window_px))]


def matrix_products(spec: ModelSpec, height: int, width: int) -> int:
    """Multiplications of A x cells x B transposed, in every block and channel of its attention."""
    rows, cols = ESA_GRID.cells(height), ESA_GRID.cells(width)
    return int(spec.options["blocks"]) * int(spec.options["esa_channels"]) * height * cols * (rows + width)


def difference_table(record: Record) -> str:
    """Both ways on the drawn picture, as it stands in the document."""
    rows = [("tiles", "dB", "worst value", "pixels that differ", f"by more than {VISIBLE_LEVELS} levels")]
    for way, title in (("naive", "naive"), ("global", "exact")):
        found = record.results[way]
        rows.append((title, f"{found['psnr_db']:.1f}", f"{found['worst_levels']:.0f} of 255",
                     share_cell(found["changed_share"]), share_cell(found["visible_share"])))
    return markdown_table(rows)


def share_cell(share: float) -> str:
    """In percent; none is none, not a small number."""
    return f"{share:.2%}" if share else "none"


def cost_table(record: Record) -> str:
    """What the two products cost compared with the rest of the network, as the document shows it."""
    rows = [("run at once", "the two products, of the rest of the network")]
    rows += [(f"{row['width_px']} × {row['height_px']} px{', the largest window' if row['is_window'] else ''}",
              f"{row['share']:.1%}") for row in record.results["matrix_shares"]]
    return markdown_table(rows)


def sentences(record: Record) -> list[str]:
    """Every sentence of the document that holds a figure of the record."""
    results = record.results
    shapes = ", ".join(f"{width} × {height}" for height, width in results["window_shapes"])
    layout = (f"The image is `{results['picture']}`, {results['width_px']} × {results['height_px']} px, the model is "
              f"`{results['model']}`, tiles are {results['tile_px']} px with a halo of {results['halo_px']} px.")
    return [layout, f"These are {results['windows']} windows of {len(results['window_shapes'])} shapes: {shapes} px.",
            f"All windows together are {results['window_share']:.2f} times the image.",
            f"Here a naive tile reads its map up to {results['largest_shift_px']:.1f} px away from the right place."]


if __name__ == "__main__":
    main()
