"""Videos of ours in a player that is not ours: Chromium shows the frames that it shows of the source, enlarged."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from srn_deploy.video.colour import BT709, SMPTE170M, FrameColour
from srn_deploy.video.options import VideoOptions
from tests.chromium import chromium, needs_chromium
from tests.clips import FRAMES, HEIGHT, WIDTH, Clip, make_clip, upscaled

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = needs_chromium

SHOWN = 12
"""The frame that is looked at."""

MOST_LEVELS = 3.0
"""On average: what lossy encoders and the browser's interpolation of chroma change; a wrong matrix or range changes
more, as does a neighbouring frame."""

FRAME_OF = """async ([url, time, width, height]) => {
    const video = document.createElement('video')
    video.muted = true
    video.src = url
    await new Promise((done, failed) => {
        video.onloadeddata = done
        video.onerror = () => failed(video.error.message)
    })
    document.body.replaceChildren(video)
    await new Promise((done, failed) => {  // a frame can be drawn once it was shown
        const look = (_, told) => Math.abs(told.mediaTime - time) < 0.9 / 24 ? done()
            : video.requestVideoFrameCallback(look)
        video.requestVideoFrameCallback(look)
        video.currentTime = time
        setTimeout(() => failed('the frame was not shown within 20 s'), 20000)
    })
    const canvas = document.createElement('canvas')
    canvas.width = width
    canvas.height = height
    const context = canvas.getContext('2d')
    context.imageSmoothingEnabled = false
    context.drawImage(video, 0, 0, width, height)
    const pixels = Array.from(context.getImageData(0, 0, width, height).data)
    return [video.videoWidth, video.videoHeight, video.duration, pixels]
}"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with chromium() as browser:
        yield browser.new_page()


def shown(page: Page, path: Path, kind: str, *, frame: int = SHOWN) -> tuple[tuple[int, int, float], Any]:
    """Width, height and duration of a video as the browser has them, and one frame drawn in twice the size of a clip,
    RGB (H, W, 3)."""
    url = f"data:video/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
    width, height, duration, pixels = page.evaluate(FRAME_OF, [url, (frame + 0.5) / 24, 2 * WIDTH, 2 * HEIGHT])
    return (width, height, duration), np.array(pixels, float).reshape(2 * HEIGHT, 2 * WIDTH, 4)[..., :3]


@pytest.mark.parametrize(("matrix", "full"), [(BT709, False), (SMPTE170M, False), (BT709, True)],
                         ids=["BT.709", "BT.601", "BT.709 full"])
@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "libx264"), (".webm", "libsvtav1"), (".webm", "libvpx-vp9")])
def test_a_browser_shows_the_frames_of_the_source_enlarged(tmp_path: Path, page: Page, suffix: str, codec: str,
                                                           matrix: int, full: bool) -> None:
    colour = FrameColour(matrix=matrix, full_range=full, primaries=BT709, transfer=BT709)
    source = make_clip(tmp_path / "in.mp4", Clip(encoder="libx264", options={"crf": "6"}, colour=colour))
    upscaled(source, tmp_path / f"out{suffix}", VideoOptions(codec=codec, crf=6))
    (_, _, seconds), small = shown(page, source, "mp4")
    (width, height, duration), large = shown(page, tmp_path / f"out{suffix}", suffix[1:])
    assert (width, height) == (2 * WIDTH, 2 * HEIGHT)
    assert duration == pytest.approx(seconds, abs=0.05)  # WebM counts milliseconds
    assert seconds == pytest.approx(FRAMES / 24, abs=0.05)
    assert np.abs(large - small).mean() < MOST_LEVELS
    _, other = shown(page, source, "mp4", frame=SHOWN + 1)
    assert np.abs(large - other).mean() > 2 * np.abs(large - small).mean()
