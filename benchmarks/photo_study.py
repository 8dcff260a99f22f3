"""Which model for pictures of unknown origin: PSNR on clean, noisy, blurred and compressed inputs.

    python -m benchmarks.photo_study [--scale 2] [--models NAME_OR_FILE …]

The inputs are the published ones of Set5 and Set14, damaged one way at a time with fixed seeds; JPEG is the
real codec's. PSNR is against the undamaged original.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.inputs import RECORDS, data_path
from benchmarks.scores import evaluated, set_names
from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend
from srn_deploy.benchmark.environment import current_environment
from srn_deploy.benchmark.records import Record
from srn_deploy.errors import OptionError
from srn_deploy.registry.resolve import resolve
from srn_deploy.registry.shipped import shipped_models
from srn_deploy.system.hashing import sha256_of_file
from srn_deploy.system.threads import usable_cores

SCALE = 4
"""Of the default model."""

SETS = ("Set5", "Set14")

Pixels = NDArray[np.uint8]
Damage = Callable[[Pixels, int], Pixels]


def compressed(quality: int) -> Damage:
    """JPEG with halved chroma, as cameras and websites write it."""
    def damage(lr: Pixels, _: int) -> Pixels:
        options = (cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
                   cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420)
        decoded = cv2.imdecode(cv2.imencode(".jpg", lr[..., ::-1], options)[1], cv2.IMREAD_COLOR)
        if decoded is None:
            raise OptionError("OpenCV cannot read the JPEG that it wrote.", remedy="Install OpenCV again.")
        return np.ascontiguousarray(decoded[..., ::-1], dtype=np.uint8)

    return damage


def noisy(sigma: float) -> Damage:
    """Gaussian noise, another for each picture."""
    def damage(lr: Pixels, number: int) -> Pixels:
        noise = np.random.default_rng(number).normal(0, sigma, lr.shape)
        return np.clip(np.rint(lr + noise), 0, 255).astype(np.uint8)

    return damage


def blurred(sigma: float) -> Damage:
    """A Gaussian, its standard deviation in LR pixels."""
    def damage(lr: Pixels, _: int) -> Pixels:
        return cv2.GaussianBlur(lr, (0, 0), sigma).astype(np.uint8)

    return damage


def after(first: Damage, second: Damage) -> Damage:
    """One damage after the other."""
    return lambda lr, number: second(first(lr, number), number)


DAMAGES: dict[str, Damage | None] = {
    "clean": None,
    "noise, sigma 3": noisy(3), "noise, sigma 8": noisy(8), "noise, sigma 15": noisy(15),
    "JPEG, quality 90": compressed(90), "JPEG, quality 75": compressed(75), "JPEG, quality 50": compressed(50),
    "blur, sigma 0.5": blurred(0.5),
    "noise, sigma 5, then JPEG, quality 80": after(noisy(5), compressed(80)),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Evaluate every model under every damage, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=int, default=SCALE, help="of all models; default: %(default)s")
    parser.add_argument("--models", nargs="+", metavar="NAME_OR_FILE", help="default: the shipped ones of the scale")
    parser.add_argument("--sets", type=Path, nargs="+", help="folders with HR/ and LR/; default: Set5 and Set14")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the record")
    options = parser.parse_args(arguments)
    names = options.models or [model.name for model in shipped_models().values() if model.scale == options.scale]
    sets = options.sets or [data_path(f"images/{name}/x{options.scale}") for name in SETS]
    environment = current_environment(threads=options.threads)
    rows, hashes = [], {}
    for name in names:
        graph = resolve(name).path
        hashes[Path(name).stem] = sha256_of_file(graph)
        backend = OnnxRuntimeBackend(graph, threads=options.threads)
        for title, damage in DAMAGES.items():
            scores = [evaluated(backend, folder, damage) for folder in sets]
            count = sum(score["pictures"] for score in scores)
            rows.append({"model": Path(name).stem, "damage": title, "pictures": count, **{
                key: sum(score[key] * score["pictures"] for score in scores) / count
                for key in ("psnr_y_db", "ssim_y", "bicubic_psnr_y_db", "bicubic_ssim_y")}})
            print(f"{name}: {title}: {rows[-1]['psnr_y_db']:.2f} dB", flush=True)
        backend.close()
    Record(kind="photo", title="Models on damaged pictures", environment=environment,
           results={"scale": options.scale, "sets": set_names(sets), "sha256": hashes, "rows": rows},
           ).save(options.records / f"photo-x{options.scale}.json")


if __name__ == "__main__":
    main()
