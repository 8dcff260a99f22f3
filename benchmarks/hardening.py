"""What the recipe `harden` takes away from an unstable network, and what it costs.

    python -m benchmarks.hardening BEFORE AFTER [--sets FOLDER ...]

BEFORE is the checkpoint that the run started with, AFTER the one it made. The record has the PSNR of both on Set5 and
Set14, and how far their outputs leave the range of pixels on the difficult images. No weights are kept.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.ablation import scores
from benchmarks.hard_pictures import LIMITS, hard_pictures, output_range
from benchmarks.inputs import RECORDS, data_path
from benchmarks.scores import set_names
from srn_deploy.architectures.checkpoint import LoadedNetwork
from srn_deploy.architectures.recognition.recognise import load_resolved
from srn_deploy.benchmark.environment import current_environment
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.tables import markdown_table
from srn_deploy.registry.resolve import resolve_file
from srn_deploy.training.recipe import load_recipe

KIND = "hardening"

RECIPE = "harden"

LARGEST_LOSS_DB = 0.03

INTRODUCTION = """## A trained network made stable

The recipe [harden](../docs/training.md#networks-that-do-not-break) on a checkpoint that was trained on photographs
alone: PSNR on Y before and after, in dB, and the smallest and largest level of the output before clipping on each of
the difficult images, where 0 to 255 is the range of pixels.

Measure: train with `harden`, then `python -m benchmarks.hardening BEFORE AFTER`."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, evaluate both, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="checkpoint that the run started with")
    parser.add_argument("after", type=Path, help="checkpoint of the run")
    parser.add_argument("--title", default="", help="of the network; default: the name of the file")
    parser.add_argument("--steps", type=int, default=load_recipe(RECIPE).steps, help="of the run")
    parser.add_argument("--sets", type=Path, nargs="+", help="folders with HR/ and LR/; default: Set5 and Set14")
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the record")
    options = parser.parse_args(arguments)
    before, after = (load_resolved(resolve_file(path)) for path in (options.before, options.after))
    scale = before.spec.scale
    sets = options.sets or [data_path(f"images/{name}/x{scale}") for name in ("Set5", "Set14")]
    recipe = load_recipe(RECIPE)
    Record(kind=KIND, title=options.title or options.before.name, environment=current_environment(
        threads=torch.get_num_threads()), results={
        "architecture": before.spec.architecture, "scale": scale, "sha256": before.spec.source_sha256,
        "steps": options.steps, "batch": recipe.batch, "hr_patch_px": recipe.hr_patch_px,
        "stress_fraction": recipe.stress_fraction, "sets": set_names(sets),
        "before": measured(before, sets), "after": measured(after, sets)}).save(options.records / "hardening.json")


def measured(loaded: LoadedNetwork, sets: Sequence[Path]) -> dict[str, Any]:
    """Scores of a network by set, and its ranges by difficult image."""
    return {"psnr_y_db": scores(loaded, sets),
            "levels": {title: output_range(loaded, picture) for title, picture in hard_pictures().items()}}


def hardening_tables(results: Mapping[str, Any]) -> list[str]:
    """What was lost, and the ranges."""
    before, after = results["before"], results["after"]
    lost = {name: before["psnr_y_db"][name] - after["psnr_y_db"][name] for name in results["sets"]}
    scored = [("set", "before, dB", "after, dB", "lost, dB", f"at most {LARGEST_LOSS_DB} lost"),
              *((name, f"{before['psnr_y_db'][name]:.3f}", f"{after['psnr_y_db'][name]:.3f}", f"{lost[name]:.3f}",
                 _yes(lost[name] <= LARGEST_LOSS_DB)) for name in results["sets"])]
    ranges = [("image", "before", "after", f"within {LIMITS[0]:g} … {LIMITS[1]:g}"),
              *((title, _levels(before["levels"][title]), _levels(levels), _yes(is_stable(levels)))
                for title, levels in after["levels"].items())]
    sentence = (f"`{results['architecture']}` ×{results['scale']}, {results['steps']} steps of {results['batch']} "
                f"patches of {results['hr_patch_px']} px (HR), {100 * results['stress_fraction']:.0f} % of them stress "
                "patches.")
    return [sentence, markdown_table(scored), markdown_table(ranges)]


def is_stable(levels: Sequence[float]) -> bool:
    """Whether the smallest and the largest level stay within LIMITS."""
    return LIMITS[0] <= levels[0] and levels[1] <= LIMITS[1]


def _levels(levels: Sequence[float]) -> str:
    return f"{levels[0]:,.0f} … {levels[1]:,.0f}"


def _yes(is_met: bool) -> str:
    return "yes" if is_met else "**no**"


if __name__ == "__main__":
    main()
