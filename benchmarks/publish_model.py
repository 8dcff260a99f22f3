"""Make a trained run one of the shipped models: checkpoint, graph, card, curve and manifest.

    python -m benchmarks.publish_model NAME RUN [RUN …] --title "…" --data-note "…" [--after MODEL] [--mean] [--default]

The runs are the folders that `srn-deploy train` wrote, one for each stage, in order; the last one's checkpoint
is shipped, or with --mean the mean of the last two. --after: the shipped model that the first run started with, whose
stages then come first in card and log.
The figures in the card are measured here; none is typed in.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.hard_pictures import LIMITS, hard_pictures, output_range
from benchmarks.inputs import data_path
from benchmarks.int8_loss import MOST_INT8_LOSS_DB
from benchmarks.scores import evaluated
from srn_deploy.architectures.checkpoint import LoadedNetwork, load_checkpoint, save_checkpoint
from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend
from srn_deploy.benchmark.tables import Table, markdown_table
from srn_deploy.errors import ExportMismatch, OptionError
from srn_deploy.graph.export import ExportOptions
from srn_deploy.quantization.export import export_int8
from srn_deploy.registry.resolve import resolve_file
from srn_deploy.registry.shipped import MANIFEST, models_folder
from srn_deploy.spec import PixelType, Precision
from srn_deploy.system.atomic import replacing
from srn_deploy.system.hashing import sha256_of_file
from srn_deploy.training.curve import draw_curve
from srn_deploy.training.recipe import Recipe, load_recipe
from srn_deploy.training.run_folder import STATE_FILE
from srn_deploy.verification.export_proof import export_and_prove
from srn_deploy.verification.verify import CERTIFICATE_SUFFIX

LICENCE = "MIT (weights); trained on BSDS500 train and test, T91 and General100, see the card"

SETS = ("Set5", "Set14")

Log = list[dict[str, str]]


def main() -> None:
    """Read the arguments and publish."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="each is named as its recipe")
    parser.add_argument("--title", required=True)
    parser.add_argument("--data-note", required=True)
    parser.add_argument("--remark", default="", help="what the recipes do not say about these runs")
    parser.add_argument("--after", metavar="MODEL", help="the shipped model that the first run started with")
    parser.add_argument("--mean", action="store_true", help="ship the mean of the weights of the last two runs")
    parser.add_argument("--default", action="store_true")
    options = parser.parse_args()
    if options.mean and len(options.runs) < 2:
        parser.error("--mean needs two runs")
    folder = models_folder()
    earlier = Ancestor.of(folder, options.after) if options.after else Ancestor()
    recipes = [*earlier.recipes(), *checked_recipes(options.runs, earlier.sha256)]
    log = merged_log(options.runs, earlier.log)  # before the files of a model that is replaced are written
    shipped = options.runs[-2:] if options.mean else options.runs[-1:]
    entry = publish(shipped, folder, options.name, options.title)
    write_log(folder / f"{options.name}.log.csv", log)
    draw_curve(folder / f"{options.name}.log.csv", folder / f"{options.name}.png", title=options.name)
    remarks = filter(None, (options.remark, mean_sentence(shipped)))
    write_card(folder, entry, recipes, log, data_note=options.data_note, remark="\n\n".join(remarks))
    write_manifest(folder, entry, default=options.default)


@dataclass(frozen=True, kw_only=True)
class Ancestor:
    """The shipped model that a run started with; none, unless its name is given."""

    sha256: str = ""
    """Of its checkpoint."""
    log: Log = field(default_factory=list)
    """The rows of its stages, in order."""

    @classmethod
    def of(cls, folder: Path, name: str) -> Ancestor:
        """Read what the folder of models has of it."""
        with (folder / f"{name}.log.csv").open(newline="", encoding="utf-8") as file:
            return cls(sha256=sha256_of_file(folder / f"{name}.safetensors"), log=list(csv.DictReader(file)))

    def recipes(self) -> list[Recipe]:
        """Of its stages, in order."""
        return [load_recipe(name) for name in dict.fromkeys(row["recipe"] for row in self.log)]


def mean_of(runs: Sequence[Path]) -> LoadedNetwork:
    """The network of the last run, with the mean of the weights of all of them."""
    networks = [load_checkpoint(run / "model.safetensors") for run in runs]
    states = [loaded.network.state_dict() for loaded in networks]
    mean = {key: torch.stack([state[key] for state in states]).mean(dim=0) for key in states[-1]}
    networks[-1].network.load_state_dict(mean)
    return networks[-1]


def mean_sentence(runs: Sequence[Path]) -> str:
    """What the card says of a mean of several runs; nothing for one."""
    if len(runs) < 2:
        return ""
    stages = " and ".join(f"`{run.name}`" for run in runs)
    return (f"The shipped weights are the mean of those after {stages} (Wortsman et al., Model soups, ICML 2022); "
            "that mean is not in the table.")


def publish(runs: Sequence[Path], folder: Path, name: str, title: str) -> dict[str, Any]:
    """Checkpoint with its licence and the proved deploy graph; returns the manifest's entry."""
    loaded = mean_of(runs)
    checkpoint, graph = folder / f"{name}.safetensors", folder / f"{name}.onnx"
    float_graph = folder / f"{name}-float32.onnx"
    save_checkpoint(checkpoint, loaded.network, architecture=loaded.spec.architecture, options=loaded.spec.options,
                    value_range=loaded.spec.value_range, licence=LICENCE)
    print(export_and_prove(checkpoint, graph).agreement)
    print(export_and_prove(checkpoint, float_graph, ExportOptions(pixel_type=PixelType.FLOAT32)).agreement)
    return {"name": name, "title": title, "scale": loaded.spec.scale, "licence": LICENCE,
            "checkpoint": described(checkpoint), "graph": described(graph), "float_graph": described(float_graph),
            **int8_entry(checkpoint, folder / f"{name}-int8.onnx")}


def int8_entry(checkpoint: Path, graph: Path) -> dict[str, Any]:
    """The manifest's entry of the INT8 graph; none, and no file, where it loses more than may be shipped."""
    try:
        certificate = export_int8(resolve_file(checkpoint), graph, ExportOptions(precision=Precision.INT8)).certificate
    except ExportMismatch as error:
        why = error.message
    else:
        why = f"It loses {certificate.psnr_loss_db} dB, and at most {MOST_INT8_LOSS_DB} is shipped."
        Path(f"{graph}{CERTIFICATE_SUFFIX}").unlink()  # the record of the study says more
        if certificate.psnr_loss_db is not None and certificate.psnr_loss_db <= MOST_INT8_LOSS_DB:
            print(certificate)
            return {"int8_graph": described(graph)}
    print(f"There is no INT8 graph: {why}")
    graph.unlink(missing_ok=True)  # also that of the model before
    return {}


def described(path: Path) -> dict[str, str]:
    """A file as the manifest names it."""
    return {"name": path.name, "sha256": sha256_of_file(path)}


def checked_recipes(runs: Sequence[Path], initial_sha256: str = "") -> list[Recipe]:
    """The recipe of each run, which has the run's name; raises OptionError if the run used another one.

    Steps may differ, which a command line can change; what a run's state does not record is not compared.
    initial_sha256: of the checkpoint that the first run started with.
    """
    recipes, previous = [], initial_sha256
    for run in runs:
        recipe = load_recipe(run.name)
        state = torch.load(run / STATE_FILE, weights_only=True) if (run / STATE_FILE).is_file() else {}
        other = recipe.differences(state.get("recipe", asdict(recipe)) | {"steps": recipe.steps})
        if other:
            raise OptionError(f"{run} was trained by another recipe ({'; '.join(other)}).",
                              remedy="Publish with the recipe it was trained with.")
        if state.get("initial_sha256", previous) != previous:
            raise OptionError(f"{run} was not initialized from the weights of the run before it.",
                              remedy="Name every stage, in order, and the shipped model before them with --after.")
        previous = sha256_of_file(run / "model.safetensors")
        recipes.append(recipe)
    return recipes


def merged_log(runs: Sequence[Path], earlier: Sequence[dict[str, str]] = ()) -> Log:
    """The rows of all stages, with the recipe's name; steps and seconds are counted over all stages."""
    rows = list(earlier)
    for run in runs:
        steps, seconds = (int(rows[-1]["step"]), float(rows[-1]["elapsed_s"])) if rows else (0, 0.0)
        with (run / "log.csv").open(newline="") as file:
            rows += [{"recipe": run.name, **row, "step": str(steps + int(row["step"])),
                      "elapsed_s": f"{seconds + float(row['elapsed_s']):.1f}"} for row in csv.DictReader(file)]
    return rows


def write_log(path: Path, log: Log) -> None:
    """As CSV."""
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(log[0]))
        writer.writeheader()
        writer.writerows(log)


def write_card(folder: Path, entry: dict[str, Any], recipes: Sequence[Recipe], log: Log, *,
               data_note: str, remark: str) -> None:
    """The card in Markdown: how it was trained, how good and how stable it is, what it may be used for."""
    name = entry["name"]
    origin = ("Trained from scratch: no published weights were used, neither for initialization nor as a teacher. PSNR "
              "is that of images held out from the training folder that are at least as large as the stage's patches, "
              f"downscaled as the stage's recipe says; every value is in [{name}.log.csv]({name}.log.csv).")
    limits = ("Smallest and largest value of the output before clipping, in levels of 0…255; "
             f"{LIMITS[0]:g} to {LIMITS[1]:g} is required. Images: `benchmarks/hard_pictures.py`.")
    parts = [f"# {name}", f"{entry['title']}.",
             "## Training", *map(stage_sentence, recipes), stage_table(recipes, log), *filter(None, [remark]), origin,
             f"![Training curve]({name}.png)",
             "## Quality", score_table(folder, entry),
             "## Stability", limits, stability_table(folder, entry),
             "## Data and licence", f"Data: {data_note}", f"Licence: {entry['licence']}."]
    (folder / f"{name}.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def stage_sentence(recipe: Recipe) -> str:
    """The source that a stage's recipe states."""
    return f"`{recipe.name}`: {' '.join(recipe.source.split())}"


def stage_table(recipes: Sequence[Recipe], log: Log) -> str:
    """Steps, minutes and held-out PSNR of each stage."""
    rows: Table = [("stage", "steps", "patches per step", "minutes", "PSNR at the start, dB", "at the end, dB")]
    before = {"step": "0", "elapsed_s": "0"}
    for recipe in recipes:
        own = [row for row in log if row["recipe"] == recipe.name]
        first, last = own[0], own[-1]
        rows.append((f"`{recipe.name}`", str(int(last["step"]) - int(before["step"])), str(recipe.batch),
                     f"{(float(last['elapsed_s']) - float(before['elapsed_s'])) / 60:.0f}",
                     *(f"{float(row['validation_psnr_y_db']):.2f}" for row in (first, last))))
        before = last
    return markdown_table(rows)


def score_table(folder: Path, entry: dict[str, Any]) -> str:
    """PSNR and SSIM of the graph and of bicubic on the published sets, whose LR was made by bicubic."""
    backend = OnnxRuntimeBackend(folder / entry["graph"]["name"])
    rows = [("set", "images", "PSNR dB", "SSIM", "bicubic PSNR dB", "bicubic SSIM")]
    for name in SETS:
        s = evaluated(backend, data_path(f"images/{name}/x{entry['scale']}"))
        rows.append((name, str(s["pictures"]), f"{s['psnr_y_db']:.2f}", f"{s['ssim_y']:.4f}",
                     f"{s['bicubic_psnr_y_db']:.2f}", f"{s['bicubic_ssim_y']:.4f}"))
    return (f"{markdown_table(rows)}\n\nY channel, output rounded to 8 bits, scale pixels cropped on each side; "
            "the deploy graph on ONNX Runtime.")


def stability_table(folder: Path, entry: dict[str, Any]) -> str:
    """The output's range for each of the hard pictures."""
    loaded = load_checkpoint(folder / entry["checkpoint"]["name"])
    rows = [("image", "smallest", "largest")]
    for title, picture in hard_pictures().items():
        smallest, largest = output_range(loaded, picture)
        rows.append((title, f"{smallest:.0f}", f"{largest:.0f}"))
    return markdown_table(rows)


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
