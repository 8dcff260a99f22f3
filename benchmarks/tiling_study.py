"""How far a tiled picture is from the whole one: naive tiles against those that know the whole picture's geometry.

    python -m benchmarks.tiling_study [--checkpoint NAME_OR_FILE ...] [--images FILE_OR_FOLDER ...]

Both ways cut the same windows. A naive tile is run as if it were a picture of its own, as published tools do
it; the other is given its part of the whole picture's interpolation matrices.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.inputs import EXAMPLE_PICTURE, RECORDS, data_path
from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend
from srn_deploy.benchmark.environment import current_environment
from srn_deploy.benchmark.records import Record
from srn_deploy.errors import OptionError
from srn_deploy.graph.export import ExportOptions
from srn_deploy.image import find_images, read_image
from srn_deploy.registry.resolve import ModelKind, resolve
from srn_deploy.registry.shipped import default_model
from srn_deploy.spec import PixelType
from srn_deploy.system.hashing import sha256_of_file
from srn_deploy.system.threads import usable_cores
from srn_deploy.tiling.tiles import Tile, cut, geometry_of, join, plan_tiles
from srn_deploy.verification.export_proof import export_and_prove

Pixels = NDArray[np.float32]

CORE_PX = 96
"""What a tile contributes, per side."""

HALOS_PX = (8, 16, 24, 32, 48, 64)
"""The network's own halo is measured as well."""

PICTURES = (EXAMPLE_PICTURE, *(f"images/DIV2K_test_LR_x4/{number:04}.png" for number in range(905, 1000, 12)))
"""One of DIV2K's validation set and every twelfth of its test inputs. The inputs of Set5 and Set14 will not do:
they are no larger than one window of 96 px with a halo of 64."""

WAYS = ("naive", "global")


@dataclass
class Difference:
    """What tiles do to pictures: squares summed over all of them, and the worst value, in levels of 0..255."""

    squares: float = 0.0
    values: int = 0
    worst: float = 0.0

    def add(self, levels: NDArray[np.float64]) -> None:
        """Count one picture's differences."""
        self.squares += float(np.square(levels).sum())
        self.values += levels.size
        self.worst = max(self.worst, float(np.abs(levels).max()))

    def row(self) -> dict[str, float | None]:
        """dB over all values (None when nothing differs) and the worst of them."""
        decibels = 10 * math.log10(255.0**2 * self.values / self.squares) if self.squares else None
        return {"psnr_db": decibels, "worst_levels": self.worst}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, measure every checkpoint, write one record for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", nargs="+", metavar="NAME_OR_FILE", help="default: the shipped default model")
    parser.add_argument("--images", type=Path, nargs="+", metavar="FILE_OR_FOLDER", help="default: some of DIV2K")
    parser.add_argument("--tile", type=int, default=CORE_PX, help="what a tile contributes, in pixels a side")
    parser.add_argument("--halos", type=int, nargs="+", default=HALOS_PX)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the records")
    options = parser.parse_args(arguments)
    paths = [found for given in options.images or map(data_path, PICTURES)
             for found in (find_images(given) if given.is_dir() else [given])]
    for checkpoint in options.checkpoint or [default_model()]:
        path = resolve(checkpoint, wanted=ModelKind.CHECKPOINT).path
        record = study(path, paths, options.tile, options.halos, options.threads)
        path = options.records / f"tiling-{record.results['checkpoint']}.json"
        record.save(path)
        print(f"{path} written.")


def study(checkpoint: Path, pictures: Sequence[Path], tile_px: int, halos_px: Sequence[int], threads: int) -> Record:
    """Measure one checkpoint on its float graph; 8-bit figures come from the same outputs, rounded."""
    environment = current_environment(threads=threads)
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "float.onnx"
        export_and_prove(checkpoint, graph, ExportOptions(pixel_type=PixelType.FLOAT32))
        backend = OnnxRuntimeBackend(graph, threads=threads)
        try:
            halos = sorted({*halos_px, backend.spec.halo_px})
            used = large_enough(pictures, tile_px + 2 * halos[-1])
            rows = measured(backend, used, tile_px, halos)
            spec = backend.spec
        finally:
            backend.close()
    return Record(kind="tiling", title=f"Tiles of {checkpoint.stem} against the whole picture", environment=environment,
                  results={"checkpoint": checkpoint.stem, "sha256": sha256_of_file(checkpoint),
                           "spec_halo_px": spec.halo_px, "architecture": spec.architecture,
                           "blocks": spec.options.get("blocks"), "scale": spec.scale, "tile_px": tile_px,
                           "pictures": [path.name for path in used],
                           "rows": rows})


def large_enough(pictures: Sequence[Path], window_px: int) -> list[Path]:
    """The pictures that are cut at every halo, so that all rows are measured on the same ones."""
    used = [path for path in pictures if max(read_image(path).as_rgb8().shape) > window_px]
    for path in set(pictures) - set(used):
        print(f"{path.name} is left out: no larger than one window of {window_px} px.")
    if not used:
        raise OptionError(f"No picture is larger than one window of {window_px} px.",
                          remedy="Give larger pictures, or a smaller --tile.")
    return used


def measured(backend: OnnxRuntimeBackend, pictures: Sequence[Path], tile_px: int,
             halos_px: Sequence[int]) -> list[dict[str, Any]]:
    """One row for each halo: both ways, on the float output and on that output as 8 bits."""
    found = {(halo, way, kind): Difference() for halo in halos_px for way in WAYS for kind in ("float", "uint8")}
    for path in pictures:
        picture = read_image(path).as_rgb8().astype(np.float32) / np.float32(255)
        whole = backend.run(picture[None])[0]
        print(f"{path.name}: {picture.shape[1]} x {picture.shape[0]}", flush=True)
        for halo in halos_px:
            for way, tiled in zip(WAYS, tiled_both_ways(backend, picture, tile_px, halo), strict=True):
                found[halo, way, "float"].add((tiled.astype(np.float64) - whole) * 255)
                found[halo, way, "uint8"].add(levels(tiled) - levels(whole))
    return [{"halo_px": halo, **{f"{way}_{kind}": found[halo, way, kind].row()
                                 for way in WAYS for kind in ("float", "uint8")}} for halo in halos_px]


def tiled_both_ways(backend: OnnxRuntimeBackend, picture: Pixels, tile_px: int, halo_px: int) -> Iterator[Pixels]:
    """The picture joined from naive tiles, then from tiles with the whole picture's geometry."""
    height, width = picture.shape[:2]
    tiles = plan_tiles(height, width, tile_px=tile_px, halo_px=halo_px, alignment_px=backend.spec.alignment_px,
                       min_side_px=backend.spec.min_side_px)
    for way in WAYS:
        canvas = np.empty((height * backend.spec.scale, width * backend.spec.scale, 3), np.float32)
        for tile in tiles:
            join(canvas, tile, run_tile(backend, picture, tile, way), backend.spec.scale)
        yield canvas


def run_tile(backend: OnnxRuntimeBackend, picture: Pixels, tile: Tile, way: str) -> Pixels:
    """One window upscaled; a network without ESA knows no other way than the naive one."""
    knows_the_whole = way == "global" and bool(backend.spec.grids)
    geometry = geometry_of([tile], *picture.shape[:2], grids=backend.spec.grids) if knows_the_whole else None
    upscaled: Pixels = backend.run(cut(picture, [tile]), geometry)[0]
    return upscaled


def levels(pixels: Pixels) -> NDArray[np.float64]:
    """0..1 as the 8-bit levels it would be saved as."""
    return np.rint(pixels * 255).astype(np.float64)


if __name__ == "__main__":
    main()
