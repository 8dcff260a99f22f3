"""Where the guard's bounds come from: what it looks at, on healthy outputs and on broken ones.

    python -m benchmarks.guard_study healthy   # published pictures: nothing may be flagged
    python -m benchmarks.guard_study hard      # patterns, noise, FP16 overflow: nothing broken may be missed

Each writes a record, `healthy` after every network, so that it can be stopped and started again. `hard --sheets FOLDER`
also draws every output, which is what the verdicts in guard_verdicts.json were read off.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.hard_pictures import hard_pictures
from benchmarks.inputs import BENCHMARKS, EXAMPLE_PICTURE, RECORDS, data_path
from srn_deploy.architectures.checkpoint import load_checkpoint
from srn_deploy.backends import Backend, open_backend
from srn_deploy.benchmark.environment import current_environment
from srn_deploy.benchmark.records import Record
from srn_deploy.image import find_images, read_image
from srn_deploy.inference.guard import COLOUR_LEVELS, LOST_LEVELS, SHIFT_LEVELS, STRAY_LEVELS, inspect, signs_of
from srn_deploy.inference.upscale import upscale_rgb
from srn_deploy.registry.resolve import resolve
from srn_deploy.registry.shipped import shipped_models
from srn_deploy.spec import AS_RECOGNISED, Corrections
from srn_deploy.system.threads import threads_in_use

HEALTHY_RECORD, HARD_RECORD = RECORDS / "guard-healthy.json", RECORDS / "guard-hard.json"
VERDICTS = BENCHMARKS / "guard_verdicts.json"

BOUNDS = {"stray": STRAY_LEVELS, "shift": SHIFT_LEVELS, "colour": COLOUR_LEVELS, "lost": LOST_LEVELS}

OFFICIAL = "SRN, official"
HALF = "SRN, official, in FP16"

PUBLISHED = {
    OFFICIAL: "wnxbwyc__SRN/team25_srn.pt",
    "RFDN": "wnxbwyc__SRN/team00_rfdn.pth",
    "RLFN x4": "bytedance__RLFN/rlfn_x4.pth",
    "RLFN x2": "bytedance__RLFN/rlfn_x2.pth",
    "IMDN x4": "Zheng222__IMDN/IMDN_x4.pth",
    "IMDN x2": "Zheng222__IMDN/IMDN_x2.pth",
    "DIPNet": "xiumu00__DIPNet/DIPNet.pth",
    "CARN-M x4": "nmhkahn__CARN-pytorch/carn_m.pth",
    "FSRCNN x4": "yjn870__FSRCNN-pytorch/fsrcnn_x4.pth",
    "FSRCNN x2": "yjn870__FSRCNN-pytorch/fsrcnn_x2.pth",
}
"""Title to the checkpoint within the real data."""

CORRECTIONS = {title: Corrections(options={"scale": title[-1]})
               for title in ("CARN-M x4", "FSRCNN x4", "FSRCNN x2")}

PEER_CROP_PX = 256
"""Peers see the middle of each DIV2K input, this large at most; the official checkpoint and ours see it whole."""

HEALTHY_KEYS = ("scale", "pictures", "largest", "all")

SIGMAS = (10, 25, 40, 60)
PHOTOGRAPHS = {"photograph": EXAMPLE_PICTURE, "dark photograph": "images/Set14/x4/LR/img_010.png"}

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A network of the study."""

    title: str
    path: Path
    corrections: Corrections = AS_RECOGNISED

    @property
    def is_peer(self) -> bool:
        return self.title in PUBLISHED and self.title != OFFICIAL

    def opened(self) -> Backend:
        """On the CPU, in FP32."""
        return open_backend(self.path, "cpu", corrections=self.corrections)


def candidates() -> list[Candidate]:
    """Ours, the official checkpoint and its peers; raises UnreadableImage without the real data."""
    ours = [Candidate(title=name, path=resolve(name).path) for name in shipped_models()]
    return ours + [Candidate(title=title, path=data_path(f"checkpoints/{name}"),
                              corrections=CORRECTIONS.get(title, AS_RECOGNISED)) for title, name in PUBLISHED.items()]


def healthy_pictures(scale: int, *, crop: bool) -> Iterator[tuple[str, Pixels]]:
    """Set5 and Set14 at the network's scale, and the 100 DIV2K test inputs."""
    for name in ("Set5", "Set14"):
        for path in find_images(data_path(f"images/{name}/x{scale}/LR")):
            yield f"{name}/{path.stem}", read_image(path).as_rgb8()
    for path in find_images(data_path("images/DIV2K_test_LR_x4")):
        pixels = read_image(path).as_rgb8()
        yield f"DIV2K/{path.stem}", _middle(pixels) if crop else pixels


def _middle(pixels: Pixels) -> Pixels:
    top, left = (max(0, (side - PEER_CROP_PX) // 2) for side in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top:top + PEER_CROP_PX, left:left + PEER_CROP_PX])


def hard_cases() -> dict[str, Pixels]:
    """Patterns, and two photographs without and with noise of each strength; fixed seeds."""
    cases = hard_pictures()
    random = np.random.default_rng(2)
    for title, name in PHOTOGRAPHS.items():
        clean = read_image(data_path(name)).as_rgb8()[:112, :112]
        cases[title] = np.ascontiguousarray(clean)
        for sigma in SIGMAS:
            noise = random.normal(0, sigma, clean.shape)
            cases[f"{title}, sigma {sigma}"] = np.clip(np.rint(clean + noise), 0, 255).astype(np.uint8)
    return cases


def half_precision(picture: Pixels) -> Pixels:
    """The official checkpoint's output in half precision; what is not a number is black, as a cast makes it."""
    loaded = load_checkpoint(data_path(f"checkpoints/{PUBLISHED[OFFICIAL]}"))
    pixels = torch.from_numpy(picture).permute(2, 0, 1).unsqueeze(0).half()
    with torch.inference_mode():
        values = loaded.network.half()(pixels)[0].float().permute(1, 2, 0).numpy()
    output: Pixels = np.rint(np.clip(np.nan_to_num(values, nan=0.0), 0, 255)).astype(np.uint8)
    return output


def measured(lr: Pixels, sr: Pixels, scale: int) -> dict[str, float]:
    """The largest of each sign, and the share of blocks that are flagged."""
    signs = signs_of(lr, sr, scale)
    largest = {name: round(float(getattr(signs, name).max()), 2) for name in BOUNDS}
    return {**largest, "flagged": round(inspect(lr, sr, scale).share, 4)}


def study_healthy(path: Path) -> None:
    """Every network on every published picture; networks that the record has already are left out."""
    known = dict(Record.load(path).results["networks"]) if path.exists() else {}
    networks: dict[str, Any] = {title: {key: network[key] for key in HEALTHY_KEYS} for title, network in known.items()}
    for candidate in candidates():
        if candidate.title in networks:
            continue
        with closing(candidate.opened()) as backend:
            scale = backend.spec.scale
            rows = {name: measured(lr, upscale_rgb(lr, backend), scale)
                    for name, lr in healthy_pictures(scale, crop=candidate.is_peer)}
        networks[candidate.title] = {
            "scale": scale, "pictures": len(rows),
            "largest": {sign: max((row[sign], name) for name, row in rows.items()) for sign in BOUNDS},
            "all": {sign: [row[sign] for row in rows.values()] for sign in BOUNDS}}
        print(candidate.title, networks[candidate.title]["largest"], flush=True)
        _save("guard-healthy", "The guard on healthy outputs", path, {"networks": networks})
    _save("guard-healthy", "The guard on healthy outputs", path, {"networks": networks})


def study_hard(path: Path, sheets: Path | None) -> None:
    """Every network on every hard case."""
    cases, networks = hard_cases(), {}
    for candidate in candidates():
        with closing(candidate.opened()) as backend:
            outputs = {title: upscale_rgb(lr, backend) for title, lr in cases.items()}
            networks[candidate.title] = _rows(cases, outputs, backend.spec.scale)
        _draw(sheets, candidate.title, outputs)
    outputs = {title: half_precision(lr) for title, lr in cases.items()}
    networks[HALF] = _rows(cases, outputs, 4)
    _draw(sheets, HALF, outputs)
    _save("guard-hard", "The guard on hard inputs", path, {"bounds": BOUNDS, "networks": networks})


def _rows(cases: Mapping[str, Pixels], outputs: Mapping[str, Pixels], scale: int) -> dict[str, dict[str, float]]:
    return {title: measured(lr, outputs[title], scale) for title, lr in cases.items()}


def _draw(folder: Path | None, network: str, outputs: Mapping[str, Pixels]) -> None:
    """All outputs of a network on one sheet, 256 pixels of each."""
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    cells = []
    for title, sr in outputs.items():
        cell = np.full((276, 260, 3), 255, np.uint8)
        part = sr[:256, :256]
        cell[18:18 + part.shape[0], 2:2 + part.shape[1]] = part
        cells.append(cv2.putText(cell, title, (2, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0)))
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % 6)
    sheet = np.vstack([np.hstack(cells[start:start + 6]) for start in range(0, len(cells), 6)])
    cv2.imwrite(str(folder / f"{network.replace(' ', '-').replace(',', '')}.png"), sheet[..., ::-1])


def _save(kind: str, title: str, path: Path, results: dict[str, Any]) -> None:
    Record(kind=kind, title=title, environment=current_environment(threads=threads_in_use()),
           results=results).save(path)


def verdicts() -> dict[str, dict[str, str]]:
    """Network to hard case to what a person said of the output: broken, whole or doubtful."""
    judged: dict[str, dict[str, str]] = json.loads(VERDICTS.read_text(encoding="utf-8"))["verdicts"]
    return judged


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one half of the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("half", choices=["healthy", "hard"])
    parser.add_argument("--sheets", type=Path, help="draw the outputs into this folder")
    options = parser.parse_args(arguments)
    if options.half == "healthy":
        study_healthy(HEALTHY_RECORD)
    else:
        study_hard(HARD_RECORD, options.sheets)


if __name__ == "__main__":
    main()
