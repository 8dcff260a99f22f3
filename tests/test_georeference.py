"""A georeferenced result lies where its source lay, whatever way the file says it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from srn_deploy.image import Image, read_image, write_image
from srn_deploy.image.containers import MetadataKind
from tests.commands import srn_deploy as run
from tests.test_containers import exif, noise

PIXEL_SCALE, TIE_POINTS, TRANSFORMATION, GEO_KEYS, RPC = 33550, 33922, 34264, 34735, 50844
HEIGHT, WIDTH = 24, 40
AREA, POINT = 1, 2
SCALE = (0.5, 0.25, 0.0)
TIE = (3.0, 2.0, 0.0, 440_720.0, 100_000.0, 0.0)
SLANTED = (0.5, 0.1, 0, 440_000, -0.2, -0.25, 0, 100_000, 0, 0, 0, 0, 0, 0, 0, 1)
TagValue = tuple[int, str, int, tuple[float, ...], bool]


def keys(raster_type: int) -> TagValue:
    """The directory of keys: a model type, and whether pixels are areas or points."""
    values = (1, 1, 0, 2, 1024, 0, 1, 1, 1025, 0, 1, raster_type)
    return GEO_KEYS, "H", len(values), values, True


def doubles(tag: int, *values: float) -> TagValue:
    return tag, "d", len(values), values, True


def written(folder: Path, *tags: TagValue, turn: int = 1, big: bool = False) -> Path:
    path = folder / "in.tif"
    tifffile.imwrite(path, noise(HEIGHT, WIDTH, 3), photometric="rgb", metadata=None, bigtiff=big,
                     extratags=[*tags, (274, "H", 1, turn, True)])
    return path


def upscaled(path: Path, scale: int) -> Path:
    """Enlarged as `upscale` does it, by repeated pixels."""
    source = read_image(path)
    pixels = source.pixels.repeat(scale, axis=0).repeat(scale, axis=1)
    write_image(path.with_name("out.tif"), source.enlarged(pixels, None))
    return path.with_name("out.tif")


def matrix_of(path: Path) -> NDArray[np.float64]:
    """From (column, row, 1), counted from the upper left corner of the image, to (east, north, 1)."""
    with tifffile.TiffFile(path) as opened:
        tags = {tag.code: tag.value for tag in opened.pages.first.tags}
    shift = 0.5 if tags[GEO_KEYS][11] == POINT else 0.0
    if TRANSFORMATION in tags:
        whole = np.array(tags[TRANSFORMATION], float).reshape(4, 4)[np.ix_([0, 1, 3], [0, 1, 3])]
    else:
        (across, down, _), (x, y, _, east, north, _) = tags[PIXEL_SCALE], tags[TIE_POINTS]
        whole = np.array([[across, 0, east - x * across], [0, -down, north + y * down], [0, 0, 1]])
    return whole @ np.array([[1, 0, -shift], [0, 1, -shift], [0, 0, 1]])


def corners(path: Path) -> NDArray[np.float64]:
    """Where the four corners of the stored image lie, as GDAL computes them."""
    with tifffile.TiffFile(path) as opened:
        height, width = opened.pages.first.shape[:2]
    return np.array([matrix_of(path) @ (x, y, 1) for y in (0, height) for x in (0, width)])


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("raster_type", [AREA, POINT])
@pytest.mark.parametrize("tags", [(doubles(PIXEL_SCALE, *SCALE), doubles(TIE_POINTS, *TIE)),
                                  (doubles(TRANSFORMATION, *SLANTED),)], ids=["scale", "matrix"])
def test_all_four_corners_lie_where_they_lay(
        tmp_path: Path, tags: tuple[TagValue, ...], raster_type: int, scale: int) -> None:
    path = written(tmp_path, *tags, keys(raster_type))
    assert np.allclose(corners(upscaled(path, scale)), corners(path), rtol=0, atol=1e-9 * 440_720)


def test_a_tie_point_at_the_corner_of_an_area_stays_and_the_scale_is_divided(tmp_path: Path) -> None:
    path = written(tmp_path, doubles(PIXEL_SCALE, 0.5, 0.25, 7), doubles(TIE_POINTS, 0, 0, 0, 9, 8, 0), keys(AREA))
    with tifffile.TiffFile(upscaled(path, 4)) as opened:
        tags = opened.pages.first.tags
        assert tags[PIXEL_SCALE].value == (0.125, 0.0625, 7)
        assert tags[TIE_POINTS].value == (0, 0, 0, 9, 8, 0)


@pytest.mark.parametrize(("raster_type", "expected"), [(AREA, (20, 40)), (POINT, (20.5, 40.5))])
def test_ground_control_points_stay_at_their_places(
        tmp_path: Path, raster_type: int, expected: tuple[float, float]) -> None:
    points = (10, 20, 0, 1, 2, 0, 30, 4, 0, 5, 6, 0)
    path = written(tmp_path, doubles(TIE_POINTS, *points), keys(raster_type))
    with tifffile.TiffFile(upscaled(path, 2)) as opened:
        found = opened.pages.first.tags[TIE_POINTS].value
    assert found[:6] == (*expected, 0, 1, 2, 0)
    assert found[9:] == (5, 6, 0)


@pytest.mark.parametrize("raster_type", [AREA, POINT])
@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("tags", [(doubles(PIXEL_SCALE, *SCALE), doubles(TIE_POINTS, *TIE)),
                                  (doubles(TRANSFORMATION, *SLANTED),)], ids=["scale", "matrix"])
def test_each_pixel_of_an_image_that_is_turned_lies_where_it_lay(
        tmp_path: Path, tags: tuple[TagValue, ...], turn: int, raster_type: int) -> None:
    path = written(tmp_path, *tags, keys(raster_type), turn=turn)
    before, after = matrix_of(path), matrix_of(upscaled(path, 2))
    stored = noise(HEIGHT, WIDTH, 3)
    result = tifffile.imread(tmp_path / "out.tif")
    for x, y in ((0, 0), (7, 3), (WIDTH - 1, HEIGHT - 1)):
        back = np.linalg.solve(after, before @ (x + 0.5, y + 0.5, 1))  # the place of its centre in the result
        assert (back[:2] % 2).round(6).tolist() == [1, 1]  # in the middle of the four pixels that are made of it
        assert result[int(back[1]), int(back[0])].tolist() == stored[y, x].tolist()


def test_rational_polynomials_count_between_the_centres_of_pixels(tmp_path: Path) -> None:
    values = [float(index) for index in range(92)]
    path = written(tmp_path, doubles(RPC, *values), keys(AREA))
    with tifffile.TiffFile(upscaled(path, 2)) as opened:
        found = opened.pages.first.tags[RPC].value
    expected = values.copy()
    expected[2:4], expected[7:9] = [4.5, 6.5], [14, 16]
    assert list(found) == expected


def test_rational_polynomials_of_an_image_that_is_turned_are_left_out_and_named(tmp_path: Path) -> None:
    path = written(tmp_path, doubles(RPC, *range(92)), keys(AREA), turn=6)
    assert "left behind: RPC coefficients of an image that is turned, 736 bytes" in read_image(path).remarks[0]
    with tifffile.TiffFile(upscaled(path, 2)) as opened:
        assert RPC not in opened.pages.first.tags


def test_tags_without_a_place_are_kept(tmp_path: Path) -> None:
    kept = (34737, "s", 0, "WGS 84|", True), (42113, "s", 0, "-9999", True)
    path = written(tmp_path, doubles(PIXEL_SCALE, *SCALE), doubles(TIE_POINTS, *TIE), keys(AREA), *kept)  # type: ignore[arg-type]
    with tifffile.TiffFile(upscaled(path, 2)) as opened:
        tags = opened.pages.first.tags
        assert (tags[34737].value, tags[42113].value) == ("WGS 84|", "-9999")
        assert tags[GEO_KEYS].value == keys(AREA)[3]


@pytest.mark.parametrize("big", [False, True])
def test_the_command_keeps_the_place_of_a_map(tmp_path: Path, big: bool) -> None:
    path = written(tmp_path, doubles(PIXEL_SCALE, *SCALE), doubles(TIE_POINTS, *TIE), keys(POINT), big=big)
    done = run("upscale", "in.tif", "out.tif", "--model", "srn-s-b6-x2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert np.allclose(corners(tmp_path / "out.tif"), corners(path), rtol=0, atol=1e-9 * 440_720)


WORLD = (0.5, 0.1, 0.2, -0.25, 440_720.0, 100_000.0)
"""Across and down by columns, across and down by rows, and the centre of the upper left pixel."""


def with_world_file(folder: Path, name: str, suffix: str, turn: int = 1) -> Path:
    """An image and its world file."""
    image = Image(pixels=noise(HEIGHT, WIDTH, 3), metadata=((MetadataKind.EXIF, exif(turn)),))
    write_image(folder / name, image)
    (folder / name).with_suffix(suffix).write_text("\r\n".join(map(str, WORLD)))
    return folder / name


def world_of(path: Path) -> NDArray[np.float64]:
    """From (column, row, 1), counted from the upper left corner, to (east, north), by its world file."""
    a, d, b, e, c, f = (float(line) for line in path.read_text().split())
    return np.array([[a, b, c], [d, e, f]]) @ np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])


@pytest.mark.parametrize(("name", "suffix"), [("in.png", ".pgw"), ("in.png", ".pngw"), ("in.png", ".wld"),
                                              ("in.jpg", ".jgw"), ("in.webp", ".wpw"), ("IN.PNG", ".PGW")])
def test_a_world_file_is_written_beside_the_result_for_its_corners(tmp_path: Path, name: str, suffix: str) -> None:
    source = with_world_file(tmp_path, name, suffix)
    image = read_image(source)
    assert image.remarks == ()
    assert write_image(tmp_path / "out.tif", image.enlarged(np.zeros((3 * HEIGHT, 3 * WIDTH, 3), np.uint8), None)) == ()
    before, after = world_of(source.with_suffix(suffix)), world_of(tmp_path / "out.tfw")
    for x, y in ((0, 0), (WIDTH, 0), (0, HEIGHT), (WIDTH, HEIGHT)):
        assert np.allclose(after @ (3 * x, 3 * y, 1), before @ (x, y, 1), rtol=1e-12)


@pytest.mark.parametrize("turn", range(1, 9))
def test_the_world_file_of_an_image_that_is_turned_turns_with_it(tmp_path: Path, turn: int) -> None:
    source = with_world_file(tmp_path, "in.png", ".pgw", turn)
    upright = read_image(source)
    write_image(tmp_path / "out.png", upright)
    before, after = world_of(tmp_path / "in.pgw"), world_of(tmp_path / "out.pgw")
    linear, place = after[:, :2], after[:, 2]
    for x, y in ((0, 0), (7, 3), (WIDTH - 1, HEIGHT - 1)):
        column, row = np.linalg.solve(linear, before @ (x + 0.5, y + 0.5, 1) - place)
        assert upright.pixels[int(row), int(column)].tolist() == noise(HEIGHT, WIDTH, 3)[y, x].tolist()


@pytest.mark.parametrize("text", ["1\n2\n3", "0\n0\n0\n0\n1\n1", "a\nb\nc\nd\ne\nf", "nan\n0\n0\n1\n1\n1", "9" * 5000])
def test_what_only_has_the_name_of_a_world_file_is_named_and_not_followed(tmp_path: Path, text: str) -> None:
    write_image(tmp_path / "in.png", Image(pixels=noise(8, 8, 3)))
    (tmp_path / "in.pgw").write_text(text)
    image = read_image(tmp_path / "in.png")
    assert image.metadata == ()
    assert f"left behind: in.pgw, which is not a world file, {len(text):,} bytes." in image.remarks[0]


def test_an_image_with_a_long_name_or_without_a_suffix_is_read_all_the_same(tmp_path: Path) -> None:
    write_image(tmp_path / "in.png", Image(pixels=noise(8, 8, 3)))
    for name in ("in", "n" * 251 + ".png"):
        (tmp_path / name).write_bytes((tmp_path / "in.png").read_bytes())
        assert read_image(tmp_path / name).remarks == ()


def test_files_of_gdal_beside_an_image_are_named(tmp_path: Path) -> None:
    write_image(tmp_path / "in.png", Image(pixels=noise(8, 8, 3)))
    (tmp_path / "in.png.aux.xml").write_text("<PAMDataset/>")
    (tmp_path / "in.prj").write_text("of another map")
    assert "left behind: in.png.aux.xml, 13 bytes." in read_image(tmp_path / "in.png").remarks[0]


def test_the_command_writes_the_world_file_of_each_image_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with_world_file(tmp_path / "in", "a.png", ".pgw")
    write_image(tmp_path / "in" / "b.png", Image(pixels=noise(8, 8, 3)))
    done = run("upscale", "in", "out", "--format", "jpeg", "--model", "srn-s-b6-x2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.jgw", "a.jpg", "b.jpg"]
