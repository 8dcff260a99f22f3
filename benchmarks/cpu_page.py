"""The record of `cpu_process` as tables, each ratio beside what is required of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from srn_deploy.benchmark.summary import doubts, paired_ratios
from srn_deploy.benchmark.tables import markdown_table
from srn_deploy.registry.shipped import shipped_models

INTRODUCTION = """## BF16 and INT8 on a CPU

Networks alone, then whole processes from file to file: `upscale --device cpu`, which is ONNX Runtime in FP32, `upscale
--device auto`, which takes OpenVINO in BF16 where the work is worth its start, and
[a plain script](eager_script.py) that runs the checkpoint eagerly in PyTorch on the whole image. All run in turn with
the same number of threads; ratios are taken round by round, and each is the median.

Measure: `python -m benchmarks.cpu_process` on a machine that does nothing else; about ten minutes."""

AUTO, PLAIN, SCRIPT = "upscale --device auto", "upscale --device cpu", "eager PyTorch script"

MIB = 2**20

NOISE = 0.02
"""Programs that do the same differ by as much from run to run."""

NETWORK_NEEDS = {"OpenVINO BF16": 2.0, "OpenVINO INT8": 3.0}
"""How many times as fast as ONNX Runtime in FP32 a network alone must be."""

PROCESS_NEEDS: Mapping[str, Sequence[tuple[str, float]]] = {
    "510 x 339 px": ((PLAIN, 1 - NOISE), (SCRIPT, 3.3)), "2000 x 1500 px": ((PLAIN, 1.7), (SCRIPT, 6.0))}
"""Image to how many times as fast as another program `auto` must be; 1 less the noise: never slower."""

FOLDER_NEEDS = ((PLAIN, 1.9),)


def cpu_tables(results: Mapping[str, Any]) -> list[str]:
    """The tables of a record, and its doubts."""
    parts = []
    if results["networks"]:
        parts += [f"Networks alone on one image of {results['networks'][0]['what']}:",
                  markdown_table([("network", "way", "ms", "times as fast as ONNX Runtime FP32", "required", "met"),
                                  *(row for one in results["networks"] for row in _network_rows(one))]),
                  *_trained_again(results["networks"])]
    for one in results["processes"]:
        parts += [f"Whole processes, `{results['model']}`, {one['what']}; at most {one['worst_levels']} of 255 apart:",
                  markdown_table([("program", "wall clock, s", "images/s", "peak memory, MiB"), *_program_rows(one)]),
                  markdown_table([("ratio", "required", "measured", "met"), *_need_rows(one)])]
    careful = "\n".join(f"- Careful: {doubt}" for doubt in doubts(_series(results)))
    return [*parts, careful] if careful else parts


def _trained_again(networks: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A sentence about networks whose shipped graph is another than the one that was measured."""
    now = {name: model.graph.sha256 for name, model in shipped_models().items()}
    names = [f"`{name}`" for one in networks if (name := one["network"]) in now and one["sha256"] != now[name]]
    if names:
        yield (f"Trained again since this was measured: {', '.join(names)}. Times depend on a network's form, not on "
               "its weights.")


def _network_rows(one: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    plain = next(iter(one["ms"].values()))
    for way, samples in one["ms"].items():
        ratio, least = median(paired_ratios(plain, samples)), NETWORK_NEEDS.get(way)
        needs = ("–", "–") if least is None else (f"at least {least:.1f}", _met(ratio >= least))
        yield (one["network"], way, f"{median(samples):.0f}", f"{ratio:.2f}", *needs)


def _program_rows(one: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for program, columns in one["programs"].items():
        seconds = median(columns["seconds"])
        yield program, f"{seconds:.2f}", f"{one['images'] / seconds:.2f}", f"{median(columns['peak_bytes']) / MIB:.0f}"


def _need_rows(one: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """How many times as fast, then how much memory, each beside its requirement."""
    needs = PROCESS_NEEDS.get(one["what"], ()) if one["images"] == 1 else FOLDER_NEEDS
    programs = one["programs"]
    for program in programs:
        if program == AUTO:
            continue
        ratio = median(paired_ratios(programs[program]["seconds"], programs[AUTO]["seconds"]))
        least = dict(needs).get(program)
        words = "–" if least is None else "not slower" if least < 1 else f"at least {least:.1f}"
        yield f"time, {program} / auto", words, f"{ratio:.2f}", "–" if least is None else _met(ratio >= least)
    memory = median(paired_ratios(programs[AUTO]["peak_bytes"], programs[PLAIN]["peak_bytes"]))
    yield "memory, auto / upscale --device cpu", "not more", f"{memory:.2f}", _met(memory <= 1 + NOISE)


def _series(results: Mapping[str, Any]) -> dict[str, list[float]]:
    """Every series of samples by what it is of."""
    networks = {f"{one['network']}, {way}": samples
                for one in results["networks"] for way, samples in one["ms"].items()}
    return networks | {f"{one['what']}, {program}": columns["seconds"] for one in results["processes"]
                       for program, columns in one["programs"].items()}


def _met(is_met: bool) -> str:
    return "yes" if is_met else "**no**"
