"""Two networks that were trained with the same budget, side by side: PSNR and milliseconds.

    srn-deploy train compact-srn-x4 --data FOLDER --out runs/compact-srn-x4
    srn-deploy train compact-spanv2-x4 --data FOLDER --out runs/compact-spanv2-x4
    python -m benchmarks.same_budget runs/compact-srn-x4 runs/compact-spanv2-x4

Each folder is of a run of one recipe. The recipes must agree in everything but the network.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.inputs import RECORDS, data_path
from benchmarks.scores import evaluated, set_names
from srn_deploy.architectures.complexity import count
from srn_deploy.architectures.recognition.recognise import load_resolved
from srn_deploy.backends import Backend, open_on
from srn_deploy.benchmark.candidates import Pass, alternated, ratios, wall_clock, warm_up
from srn_deploy.benchmark.environment import current_environment
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.summary import summarise
from srn_deploy.benchmark.tables import markdown_table
from srn_deploy.errors import OptionError
from srn_deploy.registry.resolve import resolve_file
from srn_deploy.training.recipe import Recipe
from srn_deploy.training.run_folder import CHECKPOINT_FILE, LOG_FILE, STATE_FILE
from srn_deploy.verification.export_proof import export_and_prove

KIND = "same-budget"

SIZE = (339, 510)
"""(height, width) of the input that is timed: a DIV2K x4 test input of the most frequent size."""

OF_THE_NETWORK = ("architecture", "options")
"""Fields of a recipe in which two runs of one budget differ."""

INTRODUCTION = """## SPANV2 and SRN-S, trained with the same budget

The network that won the runtime track of NTIRE 2026 beside the one of this project, both trained here from fresh
weights with the same images, patches, steps, optimizer and loss. PSNR on Y in dB; milliseconds of one pass over one
image of 510 × 339 px (×4), warmed up and in turn, median and quartiles, and the ratio pair by pair.

Measure: train `compact-srn-x4` and `compact-spanv2-x4`, then `python -m benchmarks.same_budget RUN RUN` on a machine
that does nothing else."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, evaluate and time both, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs=2, metavar="RUN", help="folder of a run; the second is compared")
    parser.add_argument("--sets", type=Path, nargs="+", help="folders with HR/ and LR/; default: Set5 and Set14")
    parser.add_argument("--rounds", type=int, default=15, help="passes of each in turn")
    parser.add_argument("--size", type=int, nargs=2, default=SIZE, metavar=("HEIGHT", "WIDTH"), help="of the input")
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the record")
    options = parser.parse_args(arguments)
    environment = current_environment(threads=torch.get_num_threads())
    recipes = [recipe_of(run) for run in options.runs]
    check_same_budget(*recipes)
    sets = options.sets or [data_path(f"images/{name}/x{recipes[0]['options']['scale']}") for name in ("Set5", "Set14")]
    with ExitStack() as opened:
        backends = [_opened(run / CHECKPOINT_FILE, opened) for run in options.runs]
        rows = [_described(run, recipe) | {"psnr_y_db": {found["set"]: found["psnr_y_db"] for found in (
            evaluated(backend["PyTorch"], folder) for folder in sets)}}
            for run, recipe, backend in zip(options.runs, recipes, backends, strict=True)]
        timed = _timed(backends, tuple(options.size), options.rounds)
    Record(kind=KIND, title=f"{rows[1]['title']} beside {rows[0]['title']}", environment=environment, results={
        "size": list(options.size), "sets": set_names(sets), "networks": rows, "samples_ms": timed,
        "steps": recipes[0]["steps"], "batch": recipes[0]["batch"], "hr_patch_px": recipes[0]["hr_patch_px"]},
    ).save(options.records / f"{KIND}.json")


def recipe_of(run: Path) -> dict[str, Any]:
    """The recipe that a run's state holds; raises OptionError where there is none."""
    state = run / STATE_FILE
    if not state.is_file():
        raise OptionError(f"{run} is not the folder of a run: it has no {STATE_FILE}.",
                          remedy="Give the folder that `srn-deploy train --out` wrote.")
    recipe: dict[str, Any] = torch.load(state, map_location="cpu", weights_only=True)["recipe"]
    return recipe


def check_same_budget(first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
    """Raise OptionError where two runs differ in more than their network."""
    differences = [one for one in Recipe(**first).differences(second) if not one.startswith(OF_THE_NETWORK)]
    if differences:
        raise OptionError(f"The runs had different budgets ({'; '.join(differences[:3])}).",
                          remedy="Train both by recipes that differ in architecture and options alone.")


def _described(run: Path, recipe: Mapping[str, Any]) -> dict[str, Any]:
    loaded = load_resolved(resolve_file(run / CHECKPOINT_FILE))
    with (run / LOG_FILE).open(newline="") as file:
        last = list(csv.DictReader(file))[-1]
    cost = count(loaded.network)
    return {"title": recipe["title"].split(", x")[0], "recipe": recipe["name"], "sha256": loaded.spec.source_sha256,
            "architecture": loaded.spec.architecture, "options": dict(loaded.spec.options),
            "trained_s": float(last["elapsed_s"]), "steps": int(last["step"]), "parameters": cost.parameters,
            "flops": cost.flops}


def _opened(checkpoint: Path, opened: ExitStack) -> dict[str, Backend]:
    folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
    graph = export_and_prove(checkpoint, folder / "network.onnx").path
    found = {"ONNX Runtime": open_on(resolve_file(graph), "cpu")[0],
             "PyTorch": open_on(resolve_file(checkpoint), "cpu")[0]}
    for backend in found.values():
        opened.callback(backend.close)
    return found


def _timed(backends: Sequence[Mapping[str, Backend]], size: tuple[int, int],
           rounds: int) -> dict[str, list[list[float]]]:
    """Way to the milliseconds of both networks."""
    samples = {}
    for way in backends[0]:
        passes: dict[str, Pass] = {str(number): wall_clock(backend[way].prepare((1, *size)))
                                   for number, backend in enumerate(backends)}
        for run in passes.values():
            warm_up(run)
        samples[way] = list(alternated(passes, rounds).values())
    return samples


def same_budget_tables(results: Mapping[str, Any]) -> list[str]:
    """Both networks with their scores and times, and the ratio of the times."""
    networks, sets = results["networks"], results["sets"]
    ways = list(results["samples_ms"])
    head = ("network", "params, K", "FLOPs at 256², G", "training, min", *(f"{name}, dB" for name in sets),
            *(f"{way}, ms" for way in ways))
    rows = [(network["title"], f"{network['parameters'] / 1000:.1f}", f"{network['flops'] / 1e9:.2f}",
             f"{network['trained_s'] / 60:.1f}", *(f"{network['psnr_y_db'][name]:.3f}" for name in sets),
             *(_milliseconds(results["samples_ms"][way][number]) for way in ways))
            for number, network in enumerate(networks)]
    found = {way: ratios(second, first) for way, (first, second) in results["samples_ms"].items()}
    gained = ", ".join(f"{networks[1]['psnr_y_db'][name] - networks[0]['psnr_y_db'][name]:+.3f} dB on {name}"
                       for name in sets)
    times = "; ".join(f"{ratio.median:.2f} ({ratio.lower_quartile:.2f}–{ratio.upper_quartile:.2f}) on {way}"
                      for way, ratio in found.items())
    sentence = (f"{results['steps']} steps of {results['batch']} patches of {results['hr_patch_px']} px (HR); timed on "
                f"{results['size'][1]} × {results['size'][0]} px.")
    return [sentence, markdown_table([head, *rows]),
            f"{networks[1]['title']} against {networks[0]['title']}: {gained}; times as fast: {times}."]


def _milliseconds(samples: Sequence[float]) -> str:
    summary = asdict(summarise(samples))
    return f"{summary['median']:.0f} ({summary['lower_quartile']:.0f}–{summary['upper_quartile']:.0f})"


if __name__ == "__main__":
    main()
