"""What is said before the work, what one format for all does, and what is refused before anything runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from srn_deploy.errors import OptionError, UnreadableImage, UnwritableImage
from srn_deploy.image import Image, read_image, write_image
from srn_deploy.image.containers import MetadataKind
from srn_deploy.inference.file_options import FileOptions
from srn_deploy.inference.jobs import Outcome, run_jobs
from srn_deploy.inference.plan import Job, plan_jobs
from srn_deploy.inference.setup import Setup
from srn_deploy.tiling.interpolation import Geometry
from tests.fakes import NearestBackend
from tests.test_containers import XMP
from tests.test_pipeline import put, tree


def with_xmp(path: Path) -> Path:
    write_image(path, Image(pixels=np.zeros((12, 17, 3), np.uint8), metadata=((MetadataKind.XMP, XMP),)))
    return path


@dataclass
class Listener(logging.Handler):
    """Notes each warning, and how many batches the network had run by then."""

    backend: NearestBackend = field(default_factory=NearestBackend)
    heard: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(logging.WARNING)

    __hash__ = logging.Handler.__hash__

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append((record.getMessage(), len(self.backend.shapes)))


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener, logger = Listener(), logging.getLogger("srn_deploy")
    logger.addHandler(listener)
    yield listener
    logger.removeHandler(listener)


def test_what_will_be_lost_is_logged_before_the_network_runs(tmp_path: Path, listener: Listener) -> None:
    (outcome,) = run_jobs(plan_jobs(with_xmp(tmp_path / "a.png"), tmp_path / "a.bmp"), Setup(listener.backend))
    assert outcome.losses == ("The XMP is left behind: BMP has no place for it.",)
    assert listener.heard == [(f"{tmp_path / 'a.png'}: {outcome.losses[0]}", 0)]


def test_what_reading_changes_is_logged_too(tmp_path: Path, listener: Listener) -> None:
    Pillow.new("CMYK", (20, 20)).save(tmp_path / "a.jpg")
    (outcome,) = run_jobs(plan_jobs(tmp_path / "a.jpg", tmp_path / "b.png"), Setup(listener.backend))
    (sentence,) = outcome.losses
    assert "CMYK" in sentence
    assert len(listener.heard) == 1
    assert listener.heard[0][0].endswith(sentence)
    assert listener.heard[0][1] == 0


def test_an_image_that_cannot_be_read_has_its_error_and_no_warning(tmp_path: Path, listener: Listener) -> None:
    (tmp_path / "a.png").write_bytes(b"not an image")
    (outcome,) = run_jobs(plan_jobs(tmp_path / "a.png", tmp_path / "b.bmp"), Setup(listener.backend))
    assert isinstance(outcome.error, UnreadableImage)
    assert listener.heard == []


def test_what_the_guard_finds_is_logged_with_the_name_of_the_file(tmp_path: Path, listener: Listener) -> None:
    class BlackBackend(NearestBackend):
        def run(self, batch: NDArray[Any], geometry: Geometry | None = None) -> NDArray[Any]:
            return super().run(batch) * 0

    write_image(tmp_path / "a.png", Image(pixels=np.full((16, 16, 3), 200, np.uint8)))
    (outcome,) = run_jobs(plan_jobs(tmp_path / "a.png", tmp_path / "b.png"), Setup(BlackBackend()))
    (sentence,) = outcome.findings
    assert "does not resemble the input" in sentence
    assert listener.heard == [(f"{tmp_path / 'a.png'}: {sentence}", 0)]


@pytest.mark.parametrize("source", ["a.png", "in"])
def test_limits_of_a_format_are_found_before_the_network_runs(tmp_path: Path, source: str) -> None:
    for path in (tmp_path / "a.png", tmp_path / "in/a.png"):
        write_image(path, Image(pixels=np.zeros((1, 8_192, 1), np.uint8)))  # twice as wide: one more than WebP holds
    backend = NearestBackend()
    outcomes: list[Outcome] = list(run_jobs(plan_jobs(tmp_path / source, tmp_path / "out", ".webp"), Setup(backend)))
    assert ["16383" in str(outcome.error) for outcome in outcomes] == [True]
    assert backend.shapes == []


def test_the_limit_of_megapixels_is_that_of_the_run(tmp_path: Path) -> None:
    jobs = plan_jobs(put(tmp_path / "a.png"), tmp_path / "b.png")
    (refused,) = run_jobs(jobs, Setup(NearestBackend()), FileOptions(max_megapixels=0.0001))
    (done,) = run_jobs(jobs, Setup(NearestBackend()), FileOptions(max_megapixels=0.001))
    assert "--max-megapixels" in str(refused.error)
    assert done.error is None


def test_one_format_for_all_keeps_the_tree(tmp_path: Path) -> None:
    for name in ("in/b.png", "in/sub/a.bmp", "in/sub/deep/c.WEBP", "in/d.tiff"):
        put(tmp_path / name)
    outcomes = list(run_jobs(plan_jobs(tmp_path / "in", tmp_path / "out", ".tif"), Setup(NearestBackend())))
    assert [outcome.error for outcome in outcomes] == [None] * 4
    assert tree(tmp_path / "out") == ["b.tif", "d.tif", "sub/a.tif", "sub/deep/c.tif"]
    assert {(tmp_path / "out" / name).read_bytes()[:4] for name in tree(tmp_path / "out")} == {b"II*\0"}


def test_without_a_format_each_file_keeps_its_own(tmp_path: Path) -> None:
    for name in ("in/a.tif", "in/b.bmp"):
        put(tmp_path / name)
    list(run_jobs(plan_jobs(tmp_path / "in", tmp_path / "out"), Setup(NearestBackend())))
    for name in ("a.tif", "b.bmp"):
        expected = read_image(tmp_path / "in" / name).pixels.repeat(2, 0).repeat(2, 1)
        assert np.array_equal(read_image(tmp_path / "out" / name).pixels, expected)


def test_two_sources_of_one_target_are_refused_before_the_work(tmp_path: Path) -> None:
    for name in ("in/a.png", "in/a.jpg"):
        put(tmp_path / name)
    with pytest.raises(UnwritableImage, match=r"a\.jpg and .*a\.png would both become .*a\.webp"):
        plan_jobs(tmp_path / "in", tmp_path / "out", ".webp")
    assert len(plan_jobs(tmp_path / "in", tmp_path / "out")) == 2


def test_an_original_is_not_overwritten_by_way_of_a_format(tmp_path: Path) -> None:
    for name in ("in/a.png", "in/b.bmp"):
        put(tmp_path / name)
    with pytest.raises(UnwritableImage, match="would be overwritten"):
        plan_jobs(tmp_path / "in", tmp_path / "in", ".png")


def test_a_single_file_gets_the_format_unless_it_is_named(tmp_path: Path) -> None:
    source = put(tmp_path / "a.png")
    (tmp_path / "out").mkdir()
    assert plan_jobs(source, tmp_path / "out", ".jpg") == [Job(source=source, target=tmp_path / "out/a.jpg")]
    assert plan_jobs(source, tmp_path / "b.JPEG", ".jpg") == [Job(source=source, target=tmp_path / "b.JPEG")]
    assert plan_jobs(source, tmp_path / "b", ".jpg") == [Job(source=source, target=tmp_path / "b.jpg")]
    with pytest.raises(OptionError, match="--format"):
        plan_jobs(source, tmp_path / "b.png", ".jpg")
