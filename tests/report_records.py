"""Small records of every kind that a report is made of, and a folder of images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from srn_deploy.benchmark.records import Record
from srn_deploy.image import Image, write_image
from srn_deploy.image.bicubic import resize_uint8
from srn_deploy.spec import Corrections, Precision
from srn_deploy.system.documents import to_builtins
from srn_deploy.tuning.choice import Machine, MeasuredWay, Tuned, WayToRun
from tests.environments import ENVIRONMENT
from tests.networks import large_picture

SAMPLES_MS = [10.0, 11.0, 12.0, 10.5, 11.5]


def candidate(factor: float) -> dict[str, Any]:
    samples = [sample * factor for sample in SAMPLES_MS]
    return {"median_ms": 11.0 * factor, "mean_ms": 11.0 * factor, "p90_ms": 12.0, "p99_ms": 12.0, "spread": 0.09,
            "ratio_to_baseline": {"median": 1 / factor, "lower_quartile": 1 / factor, "upper_quartile": 1 / factor},
            "pictures_per_s": 90.0, "input_megapixels_per_s": 3.0, "peak_mib": 100.0, "library": "numpy",
            "precision": "fp32", "form": "deploy", "samples_ms": samples}


STEADY = Record(kind="bench-steady", title="Steady state on Some CPU", environment=ENVIRONMENT, results={
    "device": "cpu", "size": [24, 32], "baseline": "first", "cautions": ["The machine was busy."],
    "contestants": {"first": candidate(1.0), "second": candidate(9.0), "third": candidate(2.0)}})


def evaluation(name: str, psnr_db: float, sha256: str = "") -> Record:
    return Record(kind="eval", title=f"{name} x4 on Set", environment=ENVIRONMENT, results={
        "spec": {"architecture": name, "scale": 4, "options": {}, "source_sha256": sha256},
        "set": "Set", "hr": "HR", "lr": "LR",
        "measured": "Y", "psnr_db": psnr_db, "ssim": 0.9,
        "pictures": [{"name": "a.png", "psnr_db": psnr_db - 1, "ssim": 0.8},
                     {"name": "b.png", "psnr_db": psnr_db + 1, "ssim": 0.95}]})


STUDY = Record(kind="stones", title="Stones per bag", environment=ENVIRONMENT, results={
    "bags": 3, "heaviest": None, "is_full": True, "peak_bytes": 3 * 2**20, "share": 0.125,
    "sack": {"colour": "a" * 64, "wall_s": [1.0, 3.0]},
    "rows": [{"stone": "granite", "wall_s": [1.0, 2.0, 3.0, 4.0, 5.0], "at": {"depth_px": 4}},
             {"stone": "basalt", "wall_s": [2.0, 2.0, 2.0, 2.0, 2.0]}]})

TUNED = Tuned(model="a-model", sha256="0" * 64, corrections=Corrections(),
              machine=Machine(cpu="Some CPU", gpu="", threads=2), versions={"onnxruntime": "0.1"}, date="2026-01-02",
              images="one image", ways=tuple(
                  MeasuredWay(title=title, way=WayToRun(device="cpu", precision=Precision.FP32, tile=tile),
                              seconds_per_megapixel=seconds)
                  for title, tile, seconds in (("Fast", 128, 1.5), ("Slow", None, 3.0))))

CERTIFICATE: dict[str, Any] = {
    "artefact_sha256": "1" * 64, "ran_on": "the CPU", "gpu": "", "reference": "a checkpoint", "precision": "fp16",
    "pictures": 3, "psnr_db": 71.25, "worst_levels": 1.0, "psnr_loss_db": 0.0001, "passed": False,
    "failures": ["it loses too much"]}


def write_all(folder: Path) -> list[Path]:
    """One file of each kind, two evaluations."""
    records = {"steady": STEADY, "eval-srn": evaluation("srn", 31.5), "eval-rlfn": evaluation("rlfn", 32.25),
               "study": STUDY}
    for name, record in records.items():
        record.save(folder / f"{name}.json")
    (folder / "kept.tuned.json").write_text(json.dumps(to_builtins(TUNED)), encoding="utf-8")
    (folder / "graph.onnx.certificate.json").write_text(json.dumps(CERTIFICATE), encoding="utf-8")
    return sorted(folder.glob("*.json"))


def write_pictures(folder: Path, *, scale: int = 2, names: tuple[str, ...] = ("stone",)) -> Path:
    """Originals of 61 x 90 px, their small images, and two candidates: one is the original, one is grey."""
    for number, name in enumerate(names):
        hr = np.rint(large_picture(61, 90) * (255 - number)).astype(np.uint8)
        height, width = hr.shape[0] // scale, hr.shape[1] // scale
        covered = np.ascontiguousarray(hr[:height * scale, :width * scale])
        images = {"original": hr, "input": resize_uint8(covered, height, width), "perfect": covered,
                  "grey": np.full_like(covered, 128)}
        for part, pixels in images.items():
            write_image(folder / part / f"{name}.png", Image(pixels=pixels))
    return folder
