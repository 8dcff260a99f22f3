"""Videos from file to file: frames per second, the share of the network, and whether sound and picture stay together.

    python -m benchmarks.video [--size HxW] [--frames N] [--rounds N] [--encoders NAME ...]

The clip is drawn for it: a window that moves over a large picture, 24 frames per second with sound. Every encoder takes
its turn in every round; the first, which also opens the model, is not counted. Let nothing else run meanwhile.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks.inputs import RECORDS
from benchmarks.memory import large_picture
from benchmarks.video_page import video_tables
from srn_deploy.backends.protocol import Backend, Batch
from srn_deploy.benchmark.environment import current_environment
from srn_deploy.benchmark.records import Record
from srn_deploy.image import MAX_MEGAPIXELS
from srn_deploy.inference.plan import Job
from srn_deploy.inference.setup import Setup
from srn_deploy.open_model import OpenRequest, open_with_fallback
from srn_deploy.registry.resolve import resolve
from srn_deploy.registry.shipped import default_model
from srn_deploy.spec import ModelSpec
from srn_deploy.system.threads import cpu_threads, usable_cores
from srn_deploy.tiling.interpolation import Geometry
from srn_deploy.tiling.shapes import Limits, ShapeRange, Size
from srn_deploy.video.options import VideoOptions
from srn_deploy.video.upscaling import upscale_video

RATE, SAMPLE_RATE = 24, 48000

ENCODERS = ("libx264", "libx265", "libsvtav1", "ffv1")

@dataclass(eq=False)
class TimedBackend:
    """A backend that counts the seconds in which it runs."""

    backend: Backend
    seconds: float = 0.0
    spec: ModelSpec = field(init=False)
    limits: Limits = field(init=False)

    def __post_init__(self) -> None:
        self.spec, self.limits = self.backend.spec, self.backend.limits

    def run(self, batch: Batch, geometry: Geometry | None = None) -> Batch:
        """As the backend does, timed."""
        began = time.perf_counter()
        try:
            return self.backend.run(batch, geometry)
        finally:
            self.seconds += time.perf_counter() - began

    def prepare(self, shape: tuple[int, int, int]) -> Callable[[], None]:
        """As the backend does."""
        return self.backend.prepare(shape)

    def close(self) -> None:
        """As the backend does."""
        self.backend.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the clip, measure, write the record, show its table."""
    options = _options(arguments)
    environment = current_environment(threads=options.threads)
    height, width = options.size
    with tempfile.TemporaryDirectory() as name, cpu_threads(options.threads):
        clip = draw_clip(Path(name) / "clip.mp4", options.size, options.frames)
        opened = open_with_fallback(options.model, OpenRequest(
            device=options.device, pixels=[height * width] * options.frames))
        backend = TimedBackend(opened.backend)
        try:
            rows = measure(clip, backend, options)
        finally:
            backend.close()
            opened.fallback.close()
    results = {"model": options.model, "sha256": resolve(options.model).sha256, "height": height, "width": width,
               "frames": options.frames, "sample_rate": SAMPLE_RATE, "backend": type(opened.backend).__name__,
               "precision": backend.spec.precision.value, "rounds": options.rounds, "rows": rows,
               "pyav": av.__version__}
    Record(kind="video", title="Videos", environment=environment, results=results).save(options.records / "video.json")
    print("\n\n".join(video_tables(results)))
    print(f"\n{options.records / 'video.json'} written.")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=default_model(), metavar="NAME", help="a shipped model")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--size", default="180x320", metavar="HxW", type=lambda text: ShapeRange.parse(text).largest,
                        help="of a frame of the clip")
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3, help="that are counted")
    parser.add_argument("--encoders", nargs="+", default=list(ENCODERS), metavar="NAME")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the record")
    return parser.parse_args(arguments)


def draw_clip(path: Path, size: Size, frames: int) -> Path:
    """A window that moves over a large picture, with a sawtooth as its sound; H.264 with B-frames, and AAC."""
    height, width = size
    picture = large_picture(height + 2 * frames, width + 3 * frames)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=RATE, options={"crf": "12", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        sound: Any = container.add_stream("aac", rate=SAMPLE_RATE)
        for number in range(frames):
            window = np.ascontiguousarray(picture[2 * number:2 * number + height, 3 * number:3 * number + width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(window, format="rgb24")))
        container.mux(stream.encode(None))
        for start in range(0, SAMPLE_RATE * frames // RATE, 1024):
            wave = (np.arange(start, start + 1024) * 37 % 20000 - 10000).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(wave.repeat(2)[None], format="s16", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return path


def measure(clip: Path, backend: TimedBackend, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Every encoder in every round, after one that is not counted."""
    rows: dict[str, dict[str, Any]] = {name: {"encoder": name, "seconds": [], "network_seconds": []}
                                       for name in options.encoders}
    setup = Setup(backend)
    for counted in range(-1, options.rounds):
        for name, row in rows.items():
            target = clip.with_name(f"{name}.mkv" if name == "ffv1" else f"{name}.mp4")
            backend.seconds, began = 0.0, time.perf_counter()
            upscale_video(Job(source=clip, target=target), setup, VideoOptions(codec=name),
                          max_megapixels=MAX_MEGAPIXELS)
            seconds = time.perf_counter() - began
            if counted >= 0:
                row["seconds"].append(seconds)
                row["network_seconds"].append(backend.seconds)
            row["bytes"], row["offset_samples"] = target.stat().st_size, offset_samples(clip, target)
            print(f"{name}: {options.frames / seconds:.2f} frames/s", flush=True)
    return list(rows.values())


def offset_samples(source: Path, target: Path) -> float:
    """How far frames have moved against the sound, at most, in samples; packets of the sound are the same in both."""
    (frames, sound), (later_frames, later_sound) = times_of(source), times_of(target)
    moved = [after - before for before, after in zip(frames, later_frames, strict=True)]
    heard = [after - before for before, after in zip(sound, later_sound, strict=True)]
    return float(max(abs(frame - packet) for frame in moved for packet in heard) * SAMPLE_RATE)


def times_of(path: Path) -> tuple[list[Fraction], list[Fraction]]:
    """When each frame is shown and each packet of the sound begins, in seconds."""
    with av.open(str(path)) as container:
        sound = [(packet.pts or 0) * packet.time_base for packet in container.demux(audio=0) if packet.size]
    with av.open(str(path)) as container:
        return [(frame.pts or 0) * (frame.time_base or Fraction(0)) for frame in container.decode(video=0)], sound


if __name__ == "__main__":
    main()
