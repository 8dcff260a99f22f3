"""300 damaged images: each gives an error of this package or an image of the size that it claims."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import tifffile

from srn_deploy.errors import ImageError
from srn_deploy.image import SUFFIXES, Image, check_writable, tiff, write_image
from srn_deploy.image.containers import MetadataKind
from srn_deploy.image.containers.extended_xmp import split
from tests.mutant_reader import Reading, picture, read_all
from tests.mutations import PNG_START, mutants
from tests.networks import large_picture
from tests.test_georeference import (
    PIXEL_SCALE,
    POINT,
    RPC,
    SCALE,
    SLANTED,
    TIE,
    TIE_POINTS,
    TRANSFORMATION,
    doubles,
    keys,
)
from tests.test_left_behind import C2PA, DIRECTORY, EXTENSION, VIDEO, segment, with_segments, xmp_segment
from tests.test_pixel_counts import exif
from tests.test_regions import AREA
from tests.xmp_packets import packet, sequence

COUNT = 300
EXIF = b"II*\0" + bytes([8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0])
"""An EXIF block that holds nothing but an orientation of 6."""


def our_own(folder: Path) -> Iterator[Path]:
    """Every kind of image in every format that can be written, some with metadata."""
    pixels = (large_picture(22, 31) * 255).astype(np.uint8)
    for suffix, colours, has_alpha, bits in product(SUFFIXES, (1, 3), (False, True), (8, 16)):
        samples = pixels if bits == 8 else pixels.astype(np.uint16) * 257
        path = folder / f"{colours}{has_alpha}{bits}{suffix}"
        image = Image(pixels=samples[..., :colours], alpha=samples[..., 2:].copy() if has_alpha else None,
                      metadata=((MetadataKind.EXIF, EXIF), (MetadataKind.XMP, b"<x:xmpmeta/>")) if colours == 3 else ())
        try:
            check_writable(path, height=22, width=31, has_alpha=has_alpha, bits=bits)
        except ImageError:
            continue
        write_image(path, image)
        yield path


def foreign() -> Iterator[bytes]:
    """Kinds that are read but never written."""
    photo = PIL.Image.fromarray((large_picture(22, 31) * 255).astype(np.uint8))
    for kind, options in ((photo.quantize(16), {"format": "PNG"}), (photo.convert("1"), {"format": "PNG"}),
                             (photo.convert("CMYK"), {"format": "JPEG"}),
                             (photo, {"format": "JPEG", "progressive": True}),
                             (photo, {"format": "WEBP", "quality": 50})):
        file = io.BytesIO()
        kind.save(file, **options)
        yield file.getvalue()
    yield tiff.encode(np.asarray(photo), None, classic_limit_bytes=0)  # a BigTIFF
    yield full_jpeg()
    yield full_tiff()


def full_jpeg() -> bytes:
    """A JPEG of a phone: everything that is counted in pixels, an extension of XMP, and parts that are left behind."""
    xmp = packet('GPano:FullPanoWidthPixels="62" GPano:CroppedAreaImageWidthPixels="31" hdrgm:Version="1.0" '
                 f'GCamera:MotionPhoto="1" xmpNote:HasExtendedXMP="{"A" * 32}"',
                 sequence("exif:SubjectArea", 3, 4) + DIRECTORY + AREA.format(0.1, 0.2, 0.3, 0.4, "normalized"))
    return with_segments(segment(0xE1, b"Exif\0\0" + exif(6)), xmp_segment(xmp), split(EXTENSION[-600:]), C2PA,
                         behind=VIDEO)


def full_tiff() -> bytes:
    """A TIFF of a map, with a smaller copy of it."""
    file, pixels = io.BytesIO(), (large_picture(22, 31) * 255).astype(np.uint8)
    with tifffile.TiffWriter(file) as writer:
        writer.write(pixels, photometric="rgb", metadata=None, extratags=[
            doubles(PIXEL_SCALE, *SCALE), doubles(TIE_POINTS, *TIE), doubles(TRANSFORMATION, *SLANTED),
            doubles(RPC, *range(92)), keys(POINT), (274, "H", 1, 6, True)])
        writer.write(pixels[::2, ::2].copy(), photometric="rgb", metadata=None, subfiletype=1)
    return file.getvalue()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Small images of every format and kind."""
    return [*(path.read_bytes() for path in our_own(tmp_path_factory.mktemp("whole"))), *foreign()]


@pytest.fixture(scope="module")
def cases(whole: list[bytes]) -> list[tuple[str, bytes]]:
    """What was done, and the bytes."""
    return mutants(whole, COUNT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, cases: list[tuple[str, bytes]]) -> Path:
    """The cases as files."""
    made = tmp_path_factory.mktemp("mutants")
    for told, data in cases:
        (made / f"{told}.png").write_bytes(data)
    return made


@pytest.fixture(scope="module")
def reading(folder: Path, whole: list[bytes]) -> Reading:
    """Each case opened by one process that is bounded in time and memory."""
    return read_all("picture", folder, whole[0])


def read_ends(reading: Reading) -> dict[str, Any]:
    """Height, width and sum of what was read, by what was done."""
    return {name.removesuffix(".png"): end["result"] for name, end in reading.ends.items() if "result" in end}


def claimed_size(data: bytes) -> list[int] | None:
    """Both sides by another library, which reads only the head; None where it refuses."""
    try:
        with PIL.Image.open(io.BytesIO(data)) as opened:
            return sorted(opened.size)
    except Exception:  # noqa: BLE001  # it lists no errors
        return None


def test_every_mutated_image_gives_an_error_or_an_image_within_bounds(reading: Reading) -> None:
    assert reading.returncode == 0, f"died on {reading.last}: {reading.stderr[-2000:]}"
    assert reading.stderr == ""  # no decoder speaks for itself
    assert [end for end in reading.ends.values() if "stranger" in end] == []
    assert len(reading.ends) == COUNT
    assert {end["error"] for end in reading.ends.values() if "error" in end} <= {"UnreadableImage", "UnsupportedImage"}
    # The cases are worth something only while some of them get as far as the decoders, and through.
    assert len(read_ends(reading)) > COUNT // 20
    assert len([end for end in reading.ends.values() if "cannot be decoded" in end.get("message", "")]) > COUNT // 30


def test_a_mutated_image_that_is_read_has_the_size_it_claims(
        reading: Reading, cases: list[tuple[str, bytes]]) -> None:
    read = read_ends(reading)
    wrong = {told: (read[told], claimed) for told, data in cases
             if told in read and (claimed := claimed_size(data)) is not None and claimed != sorted(read[told][:2])}
    assert wrong == {}


def test_a_damaged_png_is_never_taken_for_another_image(
        reading: Reading, whole: list[bytes], cases: list[tuple[str, bytes]], tmp_path: Path) -> None:
    sums = set()
    for data in whole:
        (tmp_path / "whole").write_bytes(data)
        sums.add(picture(tmp_path / "whole")[2])
    pngs = [told for told, data in cases if data.startswith(PNG_START) and "repaired" not in told]
    assert len(pngs) > COUNT // 20
    read = read_ends(reading)
    assert {told: read[told] for told in pngs if told in read and read[told][2] not in sums} == {}


def test_a_folder_of_mutated_images_gives_an_error_and_a_remedy_for_each_bad_one(
        reading: Reading, folder: Path, tmp_path: Path) -> None:
    ends = {name: end for name, end in reading.ends.items() if "error" in end or is_small(end["result"])}
    bad = {name for name, end in ends.items() if "error" in end}
    (tmp_path / "in").mkdir()
    for name in ends:
        shutil.copy(folder / name, tmp_path / "in" / name)
    done = subprocess.run([sys.executable, "-m", "srn_deploy", "upscale", tmp_path / "in", tmp_path / "out",
                           "--device", "cpu"], capture_output=True, text=True, timeout=600, check=False)
    lines = done.stderr.splitlines()
    errors = [index for index, line in enumerate(lines) if line.startswith("Error: ")]
    told = {name for name in bad for index in errors if f"/{name}" in lines[index]}
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert bad <= told
    assert all(lines[index + 1] and "Error: " not in lines[index + 1] for index in errors)
    assert f"{len(ends) - len(errors)} written, {len(errors)} failed, 0 skipped" in done.stderr
    assert len(list((tmp_path / "out").iterdir())) == len(ends) - len(errors)


def is_small(result: list[int]) -> bool:
    """What is upscaled in no time."""
    return result[0] * result[1] <= 2**14
