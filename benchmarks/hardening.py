"""What the recipe `harden` takes away from an unstable network, and what it costs.

    python -m benchmarks.hardening BEFORE RUN [--sets FOLDER ...]

BEFORE is the checkpoint that the run started with, RUN the folder of the run. The record has the PSNR of both on Set5
and Set14, and how far their outputs leave the range of pixels on the difficult images. No weights are kept.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.ablation import scores, state_of
from benchmarks.hard_pictures import LIMITS, hard_pictures, output_range
from benchmarks.inputs import RECORDS, data_path
from benchmarks.scores import set_names
from srn_deploy.architectures.checkpoint import LoadedNetwork
from srn_deploy.architectures.recognition.recognise import load_resolved
from srn_deploy.benchmark.environment import current_environment
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.tables import markdown_table
from srn_deploy.errors import OptionError
from srn_deploy.registry.resolve import resolve_file
from srn_deploy.training.run_folder import CHECKPOINT_FILE

KIND = "hardening"

LARGEST_LOSS_DB = 0.03

RECIPE_FIELDS = ("batch", "hr_patch_px", "stress_fraction", "stress_candidates", "stress_margin")
"""What the page tells of the run."""

INTRODUCTION = """## A trained network made more stable

The recipe [harden](../docs/training.md#networks-that-do-not-break) on a checkpoint that was trained on photographs
alone: PSNR on Y before and after, in dB, and the smallest and largest level of the output before clipping on each of
the difficult images, where 0 to 255 is the range of pixels.

Measure: train with `harden`, then `python -m benchmarks.hardening BEFORE RUN`."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, evaluate both, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="checkpoint that the run started with")
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--title", default="", help="of the network; default: the name of the file")
    parser.add_argument("--sets", type=Path, nargs="+", help="folders with HR/ and LR/; default: Set5 and Set14")
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the record")
    options = parser.parse_args(arguments)
    before = load_resolved(resolve_file(options.before))
    check_start(options.run, before)
    state, after = state_of(options.run), load_resolved(resolve_file(options.run / CHECKPOINT_FILE))
    scale = before.spec.scale
    sets = options.sets or [data_path(f"images/{name}/x{scale}") for name in ("Set5", "Set14")]
    Record(kind=KIND, title=options.title or options.before.name, environment=current_environment(
        threads=torch.get_num_threads()), results={
        "architecture": before.spec.architecture, "scale": scale, "sha256": before.spec.source_sha256,
        "steps": state["step"], **{name: state["recipe"][name] for name in RECIPE_FIELDS}, "sets": set_names(sets),
        "before": measured(before, sets), "after": measured(after, sets)}).save(options.records / "hardening.json")


def check_start(run: Path, before: LoadedNetwork) -> None:
    """Raise OptionError for a run that started with another checkpoint."""
    if state_of(run)["initial_sha256"] != before.spec.source_sha256:
        raise OptionError(f"The run in {run} started with another checkpoint.",
                          remedy="Give the one that was its --initial.")


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
                f"patches{_chosen(results.get('stress_candidates'))}.")
    return [sentence, markdown_table(scored), markdown_table(ranges)]


def _chosen(candidates: int | None) -> str:
    """Which of the stress patches that were drawn; None: the record is older than the choice."""
    if candidates is None:
        return ". The recipe was another then: any stress patch was used, in one loss with the photographs"
    return f", the worst 1 in {candidates} of those drawn" if candidates > 1 else ""


def is_stable(levels: Sequence[float]) -> bool:
    """Whether the smallest and the largest level stay within LIMITS."""
    return LIMITS[0] <= levels[0] and levels[1] <= LIMITS[1]


def _levels(levels: Sequence[float]) -> str:
    return f"{levels[0]:,.0f} … {levels[1]:,.0f}"


def _yes(is_met: bool) -> str:
    return "yes" if is_met else "**no**"


if __name__ == "__main__":
    main()
