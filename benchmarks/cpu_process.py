"""What a CPU gains by BF16 and INT8: networks alone, whole processes on one image, and a folder; about ten minutes.

    python -m benchmarks.cpu_process [--only network|image|folder ...] [--int8 MODEL=GRAPH ...]

Everything runs in turn, A B C A B C …, in one run with the same number of threads, after rounds that are not counted:
they compile models and certify them, in a cache that is made for this run. `upscale --device cpu` is ONNX Runtime, and
`upscale --device auto` takes what it would take by itself. Let nothing else run meanwhile.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.cpu_network import network_times
from benchmarks.cpu_page import AUTO, PLAIN, SCRIPT, cpu_tables
from benchmarks.file_to_file import WARM_UP_PAIRS, as_columns, worst_levels
from benchmarks.inputs import BENCHMARKS, RECORDS, data_path
from benchmarks.memory import large_picture
from benchmarks.whole_process import run_process
from srn_deploy.benchmark.environment import current_environment
from srn_deploy.benchmark.records import Record
from srn_deploy.image import Image, find_images, write_image
from srn_deploy.registry.resolve import ModelKind, ResolvedModel, resolve
from srn_deploy.registry.shipped import default_model
from srn_deploy.system.cache import VARIABLE
from srn_deploy.system.threads import usable_cores
from srn_deploy.tiling.shapes import ShapeRange, Size

FOLDER = "images/DIV2K_test_LR_x4"
"""Of the real data: 100 images, most of 510 x 339 px."""

SECTIONS = ("network", "image", "folder")

Command = Sequence[str | Path]


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, measure, write the record, show its tables."""
    options = _options(arguments)
    environment, model = current_environment(threads=options.threads), resolve(options.model)
    results: dict[str, Any] = {"model": options.model, "sha256": model.sha256, "networks": [], "processes": []}
    with _own_cache():
        if "network" in options.only:
            results["networks"] = [network_times(name, options.network_size, options.int8.get(name), options)
                                   for name in options.networks]
        if "image" in options.only:
            results["processes"] += [on_image(model, ShapeRange.parse(size).largest, options) for size in options.sizes]
        if "folder" in options.only:
            results["processes"].append(on_folder(model, options.images or data_path(FOLDER), options))
    Record(kind="cpu-process", title="BF16 and INT8 on a CPU", environment=environment, results=results
           ).save(options.records / "cpu-process.json")
    print("\n\n".join(cpu_tables(results)))
    print(f"\n{options.records / 'cpu-process.json'} written.")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="default: everything")
    parser.add_argument("--rounds", type=int, default=11, help="of networks alone")
    parser.add_argument("--pairs", type=int, default=5, help="rounds of whole processes on one image")
    parser.add_argument("--folder-pairs", type=int, default=3)
    parser.add_argument("--warm-up-pairs", type=int, default=WARM_UP_PAIRS)
    parser.add_argument("--sizes", nargs="+", default=["339x510", "1500x2000"], metavar="HxW", help="of single images")
    parser.add_argument("--network-size", default="339x510", metavar="HxW",
                        type=lambda text: ShapeRange.parse(text).largest)
    parser.add_argument("--networks", nargs="+", metavar="MODEL",
                        default=[default_model(), "srn-s-b6-x4", "srn-s-b6-x2"],
                        help="default: the default model, and the largest of each scale")
    parser.add_argument("--int8", action="append", type=_named_graph, default=[], metavar="MODEL=GRAPH",
                        help="another graph of a network in INT8 than the shipped one; may be repeated")
    parser.add_argument("--images", type=Path, help=f"folder; default: {FOLDER} of the real data")
    parser.add_argument("--model", default=default_model(), metavar="NAME", help="of whole processes; a shipped one")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the record")
    options = parser.parse_args(arguments)
    options.int8 = dict(options.int8)
    return options


def _named_graph(text: str) -> tuple[str, Path]:
    name, sign, path = text.partition("=")
    if not (name and sign and Path(path).is_file()):
        raise argparse.ArgumentTypeError(f"{text!r} is not MODEL=GRAPH with a file that exists")
    return name, Path(path)


@contextmanager
def _own_cache() -> Iterator[None]:
    """A cache without anything that was tuned or built before; it is removed at the end."""
    before = os.environ.get(VARIABLE)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[VARIABLE] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ[VARIABLE]
            else:
                os.environ[VARIABLE] = before


def on_image(model: ResolvedModel, size: Size, options: argparse.Namespace) -> dict[str, Any]:
    """All programs on one image that is drawn for it, whole processes."""
    checkpoint = resolve(options.model, wanted=ModelKind.CHECKPOINT).path
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "in.png"
        write_image(source, Image(pixels=large_picture(*size)))
        targets = {program: folder / f"{number}.png" for number, program in enumerate((AUTO, PLAIN, SCRIPT))}
        programs: dict[str, Command] = {
            **_upscale(model, source, targets),
            SCRIPT: [sys.executable, BENCHMARKS / "eager_script.py", checkpoint, source, targets[SCRIPT]]}
        found = _in_turn(programs, options.pairs, options, warm_up=options.warm_up_pairs)
        return {**found, "what": f"{size[1]} x {size[0]} px", "images": 1,
                "worst_levels": worst_levels(targets[AUTO], targets[PLAIN])}


def on_folder(model: ResolvedModel, images: Path, options: argparse.Namespace) -> dict[str, Any]:
    """A folder to PNG, whole processes; to warm up, one image is enough, by OpenVINO, which certifies the model."""
    paths = find_images(images)
    with tempfile.TemporaryDirectory() as name:
        run_process(_command(model, paths[0], Path(name) / "first.png", "openvino"), threads=options.threads)
        targets = {program: Path(name) / str(number) for number, program in enumerate((AUTO, PLAIN))}
        programs = {program: [*command, "--format", "png"]
                    for program, command in _upscale(model, images, targets).items()}
        found = _in_turn(programs, options.folder_pairs, options, warm_up=0)
        worst = [worst_levels(*(target / path.relative_to(images).with_suffix(".png") for target in targets.values()))
                 for path in paths]
    return {**found, "what": f"{len(paths)} images of {images.name}", "images": len(paths), "worst_levels": max(worst)}


def _upscale(model: ResolvedModel, source: Path, targets: Mapping[str, Path]) -> dict[str, Command]:
    """`upscale` on each device, as commands."""
    return {program: _command(model, source, targets[program], program.rpartition(" ")[2]) for program in (AUTO, PLAIN)}


def _command(model: ResolvedModel, source: Path, target: Path, device: str) -> Command:
    return [sys.executable, "-m", "srn_deploy", "upscale", source, target, "--model", model.path, "--device", device]


def _in_turn(programs: Mapping[str, Command], rounds: int, options: argparse.Namespace, *,
             warm_up: int) -> dict[str, Any]:
    """What each round of all programs took, those to warm up left out."""
    runs = [[run_process(command, threads=options.threads) for command in programs.values()]
            for _ in range(warm_up + rounds)][warm_up:]
    return {"programs": {program: as_columns([one[number] for one in runs])
                         for number, program in enumerate(programs)}}


if __name__ == "__main__":
    main()
