"""The benchmarks of the pipeline and of the effort of encoders, on few small pictures; nothing here is a time."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import effort_table, pipeline
from benchmarks.render import rendered
from srn_deploy.benchmark.records import Record
from srn_deploy.image import Image, write_image
from tests.environments import ENVIRONMENT
from tests.networks import large_picture


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """Three pictures of a format in a pass, two pairs."""
    folder = tmp_path_factory.mktemp("pipeline")
    write_image(folder / "in.png", Image(pixels=np.rint(large_picture(40, 60) * 255).astype(np.uint8)))
    pipeline.main(["--picture", str(folder / "in.png"), "--pictures", "3", "--pairs", "2", "--threads", "2",
                   "--records", str(folder)])
    return Record.load(folder / "pipeline.json")


def test_each_format_is_measured_in_pairs_and_the_stages_of_a_run_are_kept(measured: Record) -> None:
    for row in measured.results["formats"]:
        assert len(row["shares"]) == 2
        assert row["stages"]["images"] == row["pictures"] == (18 if row["name"] == "JPEG" else 3)
        assert row["stages"]["spent_s"]["encode"] > 0
    assert [row["name"] for row in measured.results["formats"]] == list(pipeline.FORMATS)


@pytest.mark.parametrize(("share", "met"), [(0.92, "yes"), (0.919, "no")])
def test_the_page_says_whether_the_share_is_reached(measured: Record, share: float, met: str) -> None:
    row = {**measured.results["sleepers"], "shares": [share] * 5}
    page = rendered([Record(kind="pipeline", title="t", environment=ENVIRONMENT,
                            results={**measured.results, "formats": [], "sleepers": row})])
    assert f"| 92 % (92 … 92) | {met} |" in page


def test_efforts_are_in_bold_beside_what_was_not_taken_and_the_pixels_stay() -> None:
    image = np.rint(large_picture(40, 60) * 255).astype(np.uint8)
    kinds = {"images": [image]}
    rows = [{"format": container, "setting": setting, "effort": effort, **effort_table.measured(encode, kinds, 1)}
            for container, setting, effort, encode in effort_table.settings()]
    results = {"repeats": 1, "rows": rows, "images": {"images": 1}, "pixels": {"images": 2400}}
    page = rendered([Record(kind="effort", title="t", environment=ENVIRONMENT, results=results)])
    assert page.count("**`--effort") == 6
    assert "100.0 %" in page
    assert "libwebp, method 6, quality 0" in page
