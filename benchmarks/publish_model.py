"""Make a trained run one of the shipped models: checkpoint, graph, card, curve and manifest.

    python -m benchmarks.publish_model RUN NAME --title "…" --data-note "…" [--default] [--sets SET5_FOLDER …]

RUN is the folder that `srn-deploy train` wrote. Each set is a folder with HR/ and LR/ for this scale.
What stands in the card is measured here and now; nothing is typed in.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from srn_deploy.atomic import replacing
from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend
from srn_deploy.checkpoint import load_checkpoint, save_checkpoint
from srn_deploy.deploy import export_and_prove
from srn_deploy.image import find_images, read_image
from srn_deploy.metrics import psnr_y, ssim_y
from srn_deploy.model_store import MANIFEST, models_folder
from srn_deploy.resample import resize_uint8
from srn_deploy.training.recipe import load_recipe
from srn_deploy.upscale import TileOptions, upscale_array

LICENCE = "MIT (weights); trained on BSDS500 train and test, T91 and General100, see the card"


def main() -> None:
    """Read the arguments and publish."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--recipe", default="compact-x4")
    parser.add_argument("--title", required=True)
    parser.add_argument("--data-note", required=True)
    parser.add_argument("--default", action="store_true")
    parser.add_argument("--sets", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    folder = models_folder()
    entry = publish(options.run, folder, options.name, options.title)
    scores = [evaluated(folder / entry["graph"]["name"], sets) for sets in options.sets]
    write_card(folder, entry, options.run, options.recipe, scores, options.data_note)
    write_manifest(folder, entry, default=options.default)


def publish(run: Path, folder: Path, name: str, title: str) -> dict[str, Any]:
    """Checkpoint with its licence and the proved deploy graph; returns the manifest's entry."""
    loaded = load_checkpoint(run / "model.safetensors")
    checkpoint, graph = folder / f"{name}.safetensors", folder / f"{name}.onnx"
    save_checkpoint(checkpoint, loaded.network, architecture=loaded.spec.architecture, options=loaded.spec.options,
                    value_range=loaded.spec.value_range, licence=LICENCE)
    print(export_and_prove(checkpoint, graph).agreement)
    return {"name": name, "title": title, "scale": loaded.spec.scale, "licence": LICENCE,
            "checkpoint": described(checkpoint), "graph": described(graph)}


def described(path: Path) -> dict[str, str]:
    """A file as the manifest names it."""
    return {"name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def evaluated(graph: Path, folder: Path) -> dict[str, Any]:
    """Mean PSNR and SSIM on Y of the graph and of bicubic, by the published convention."""
    backend = OnnxRuntimeBackend(graph)
    scale, rows = backend.spec.scale, []
    for hr_path in find_images(folder / "HR"):
        hr, lr = (read_image(folder / side / hr_path.name).as_rgb8() for side in ("HR", "LR"))
        hr = hr[:lr.shape[0] * scale, :lr.shape[1] * scale]
        pictures = (upscale_array(lr, backend, TileOptions(tile=None)), resize_uint8(lr, *hr.shape[:2]))
        rows += [(psnr_y(picture, hr, border_px=scale), ssim_y(picture, hr, border_px=scale)) for picture in pictures]
    (psnr, ssim), (bicubic_psnr, bicubic_ssim) = np.mean(rows[::2], axis=0), np.mean(rows[1::2], axis=0)
    return {"set": folder.parent.name, "pictures": len(rows) // 2, "psnr_y_db": psnr, "ssim_y": ssim,
            "bicubic_psnr_y_db": bicubic_psnr, "bicubic_ssim_y": bicubic_ssim}


def write_card(folder: Path, entry: dict[str, Any], run: Path, recipe_name: str, scores: list[dict[str, Any]],
               data_note: str) -> None:
    """The card in Markdown, the training log beside it, and the curve if the run drew one."""
    name, recipe = entry["name"], load_recipe(recipe_name)
    shutil.copyfile(run / "log.csv", folder / f"{name}.log.csv")
    with (run / "log.csv").open(newline="") as file:
        log = list(csv.DictReader(file))
    minutes = float(log[-1]["elapsed_s"]) / 60
    first, last = (float(log[index]["validation_psnr_y_db"]) for index in (0, -1))
    trained = (f"Trained from scratch: {log[-1]['step']} steps of {recipe.batch} patches in {minutes:.0f} minutes. "
               "No published weight was used, neither to begin with nor as a teacher.")
    validated = (f"Validation PSNR on Y (pictures held out from the training folder): {first:.2f} dB at step 0, "
                 f"{last:.2f} dB at the end; every value in [{name}.log.csv]({name}.log.csv).")
    lines = [f"# {name}", "", entry["title"], "", f"Recipe `{recipe_name}`: {' '.join(recipe.source.split())}", "",
             trained, "", validated, ""]
    if (run / "curve.png").is_file():
        shutil.copyfile(run / "curve.png", folder / f"{name}.png")
        lines += [f"![Training curve]({name}.png)", ""]
    lines += ["| set | pictures | PSNR dB | SSIM | bicubic PSNR dB | bicubic SSIM |", "|---|---|---|---|---|---|"]
    lines += [f"| {s['set']} | {s['pictures']} | {s['psnr_y_db']:.2f} | {s['ssim_y']:.4f} | "
              f"{s['bicubic_psnr_y_db']:.2f} | {s['bicubic_ssim_y']:.4f} |" for s in scores]
    lines += ["", "Y channel, output rounded to 8 bits, scale pixels cropped on each side.", "",
              f"Data: {data_note}", "", f"Licence: {entry['licence']}.", ""]
    (folder / f"{name}.md").write_text("\n".join(lines), encoding="utf-8")


def write_manifest(folder: Path, entry: dict[str, Any], *, default: bool) -> None:
    """Add or replace the entry."""
    path = folder / MANIFEST
    manifest = json.loads(path.read_text(encoding="utf-8"))
    models = [model for model in manifest.get("models", []) if model["name"] != entry["name"]]
    manifest |= {"models": sorted([*models, entry], key=lambda model: str(model["name"]))}
    if default or "default" not in manifest:
        manifest["default"] = entry["name"]
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
