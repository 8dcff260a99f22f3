"""What INT8 costs and what each step of making its graph is worth: PSNR on published sets, and milliseconds.

    python -m benchmarks.int8_study [--networks MODEL ...] [--photographs FOLDER]

Each variant of each shipped network is made on the images that are drawn here, the last one on photographs too. Scores
are taken on the Set5 and Set14 of the real data; the times of all variants of one network are taken in turn, A B C A B
C ..., after passes that are not counted. Let nothing else run meanwhile; about twenty minutes.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import onnx

from benchmarks.inputs import RECORDS, data_path
from benchmarks.int8_loss import MOST_INT8_LOSS_DB, lost_on_drawn_images
from benchmarks.scores import evaluated
from srn_deploy.backends import Backend, open_on_openvino
from srn_deploy.backends.open_vino import library_title as openvino_title
from srn_deploy.benchmark.candidates import wall_clock
from srn_deploy.benchmark.environment import current_environment
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.summary import doubts, paired_ratios
from srn_deploy.benchmark.tables import markdown_table
from srn_deploy.graph.onnx_file import save_graph, spec_of, stamped
from srn_deploy.image import find_images, read_image
from srn_deploy.image.bicubic import resize_uint8
from srn_deploy.image.pixels import Rgb8
from srn_deploy.quantization.bias_correction import correct_biases
from srn_deploy.quantization.calibration import drawn, inputs_of
from srn_deploy.quantization.equalization import equalized
from srn_deploy.quantization.int8_graph import int8_copy, named_copy
from srn_deploy.quantization.nncf_quantizer import library_title, quantized
from srn_deploy.registry.resolve import ResolvedModel, resolve, resolve_file
from srn_deploy.registry.shipped import shipped_models
from srn_deploy.spec import Precision
from srn_deploy.system.threads import cpu_threads, usable_cores
from srn_deploy.tiling.shapes import ShapeRange

KIND = "int8-study"

SETS = ("Set5", "Set14")

WARM_UP_PASSES = 2

PHOTOGRAPHS, MOST_PHOTOGRAPHS = "train/BSDS500_train", 20
"""Of the real data; the networks were trained on them and are not tested on them."""

EXPORTED, EVERY = "as exported", "every convolution"

DRAWN = "drawn images"
"""Those of a certificate; whether a graph is shipped depends on them."""

MOST_LOSS_DB, MOST_TIME = 0.05, 1.1
"""What is required for x4: PSNR lost, and times as long as the fastest variant."""

INTRODUCTION = f"""## INT8

An INT8 graph has 8-bit weights and inputs in its convolutions ([how it is made](../docs/howto.md#be-faster-on-a-cpu)).
Each row adds one step of making it to the row before; PSNR lost is against the same network in FP32. For ×4
at most {MOST_LOSS_DB:g} dB on Set5 and Set14 and {MOST_TIME:g} times the time of the fastest variant are required. A
graph that loses more than {MOST_INT8_LOSS_DB:g} dB on the images that are drawn for certificates is not shipped.

Measure: `python -m benchmarks.int8_study` on a machine that does nothing else; about twenty minutes."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to make an INT8 graph of an FP32 one."""

    name: str
    make: Callable[[onnx.ModelProto, Sequence[Rgb8]], onnx.ModelProto]
    on_photographs: bool = False


def made(graph: onnx.ModelProto, images: Sequence[Rgb8], *, keeps: str = "", equalizes: bool = False,
         corrects: bool = False) -> onnx.ModelProto:
    """An INT8 graph. keeps: which convolutions stay in FP32: "first", "first and last", or none."""
    inputs = inputs_of(graph, images)
    even = equalized(graph, inputs) if equalizes else graph
    names = [node.name for node in graph.graph.node if node.op_type == "Conv"]
    ends = {"": (), "first": (names[0],), "first and last": (names[0], names[-1])}[keeps]
    result = quantized(even, inputs, in_float=ends)
    if corrects:
        correct_biases(result, even, inputs)
    return stamped(result, replace(spec_of(graph, "the graph"), precision=Precision.INT8))


VARIANTS = (
    Variant(name=EVERY, make=made),
    Variant(name="the first in FP32", make=lambda graph, images: made(graph, images, keeps="first")),
    Variant(name="and channels equalized",
            make=lambda graph, images: made(graph, images, keeps="first", equalizes=True)),
    Variant(name="and biases corrected",
            make=lambda graph, images: made(graph, images, keeps="first", equalizes=True, corrects=True)),
    Variant(name="and the last in FP32",
            make=lambda graph, images: made(graph, images, keeps="first and last", equalizes=True, corrects=True)),
    Variant(name=EXPORTED, make=int8_copy),
    Variant(name=f"{EXPORTED}, calibrated on photographs", make=int8_copy, on_photographs=True))


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, measure, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", metavar="MODEL", default=list(shipped_models()))
    parser.add_argument("--photographs", type=Path, metavar="FOLDER", help=f"default: {PHOTOGRAPHS} of the real data")
    parser.add_argument("--sets", nargs="+", default=SETS, metavar="SET")
    parser.add_argument("--size", default="339x510", metavar="HxW", help="of the image whose time is taken")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the record")
    options = parser.parse_args(arguments)
    environment = current_environment(threads=options.threads)
    with cpu_threads(options.threads):
        networks = [measured(resolve(name), name, options) for name in options.networks]
    results = {"size": options.size, "libraries": [library_title(), openvino_title()], "networks": networks}
    Record(kind=KIND, title="INT8", environment=environment, results=results).save(
        options.records / f"{KIND}.json")
    print("\n\n".join(int8_tables(results)))


def measured(model: ResolvedModel, name: str, options: argparse.Namespace) -> dict[str, Any]:
    """PSNR lost and milliseconds of every variant of one network."""
    graph, scale = named_copy(onnx.load(model.path)), shipped_models()[name].scale
    folder = options.photographs or data_path(PHOTOGRAPHS)
    images = {False: drawn().inputs, True: tuple(_photographs(folder, scale))}
    with tempfile.TemporaryDirectory() as place, ExitStack() as opened:
        backends: dict[str, Backend] = {}
        for number, one in enumerate(VARIANTS):
            path = Path(place) / f"{number}.onnx"
            save_graph(one.make(graph, images[one.on_photographs]), path)
            backends[one.name] = open_on_openvino(resolve_file(path), Precision.INT8)[0]
            opened.callback(backends[one.name].close)
            print(f"{name}, {one.name}: made", flush=True)
        fp32 = open_on_openvino(model, Precision.FP32)[0]
        opened.callback(fp32.close)
        before = _scores(fp32, options.sets)
        lost = {way: {**{test: before[test] - after for test, after in _scores(backend, options.sets).items()},
                      DRAWN: lost_on_drawn_images(backend, fp32)}
                for way, backend in backends.items()}
        milliseconds = _in_turn({**backends, "FP32": fp32}, options)
    return {"network": name, "scale": scale, "sha256": model.sha256, "fp32_psnr_y_db": before, "lost_db": lost,
            "ms": milliseconds}


def _photographs(folder: Path, scale: int) -> Iterator[Rgb8]:
    paths = find_images(folder)
    for path in paths[::max(1, len(paths) // MOST_PHOTOGRAPHS)][:MOST_PHOTOGRAPHS]:
        image = read_image(path).as_rgb8()
        yield resize_uint8(image, image.shape[0] // scale, image.shape[1] // scale)


def _scores(backend: Backend, sets: Sequence[str]) -> dict[str, float]:
    return {name: float(evaluated(backend, data_path(f"images/{name}/x{backend.spec.scale}"))["psnr_y_db"])
            for name in sets}


def _in_turn(backends: Mapping[str, Backend], options: argparse.Namespace) -> dict[str, list[float]]:
    size = ShapeRange.parse(options.size).largest
    passes = {way: wall_clock(backend.prepare((1, *size))) for way, backend in backends.items()}
    rounds = [{way: one() for way, one in passes.items()}
              for _ in range(WARM_UP_PASSES + options.rounds)][WARM_UP_PASSES:]
    return {way: [one[way] for one in rounds] for way in passes}


def int8_tables(results: Mapping[str, Any]) -> list[str]:
    """The tables of a record, and its doubts."""
    parts = [f"{', '.join(results['libraries'])}; times on one image of {results['size']} (height x width)."]
    for one in results["networks"]:
        fastest = min(one["lost_db"], key=lambda way: median(one["ms"][way]))
        sets = list(one["lost_db"][EXPORTED])
        rows = [("variant", *(f"{name}: PSNR lost, dB" for name in sets), "ms", "times the fastest", "FP32 / it")]
        for way, lost in one["lost_db"].items():
            milliseconds = one["ms"][way]
            rows.append((way, *(f"{lost[name]:.3f}" for name in sets), f"{median(milliseconds):.0f}",
                         f"{median(paired_ratios(milliseconds, one['ms'][fastest])):.2f}",
                         f"{median(paired_ratios(one['ms']['FP32'], milliseconds)):.2f}"))
        scores = ", ".join(f"{name} {psnr:.3f} dB" for name, psnr in one["fp32_psnr_y_db"].items())
        parts += [f"`{one['network']}` (FP32: {scores}):", markdown_table(rows)]
        if one["scale"] == 4:
            parts.append(_verdict(one, fastest))
        if (loss := one["lost_db"][EXPORTED].get(DRAWN, 0.0)) > MOST_INT8_LOSS_DB:  # absent from earlier records
            parts.append(f"It loses {loss:.3f} dB on the drawn images, and at most {MOST_INT8_LOSS_DB:g} is shipped.")
    careful = doubts({f"{one['network']}, {way}": samples for one in results["networks"]
                      for way, samples in one["ms"].items()})
    return [*parts, "\n".join(f"- Careful: {doubt}" for doubt in careful)] if careful else parts


def _verdict(one: Mapping[str, Any], fastest: str) -> str:
    lost = one["lost_db"][EXPORTED]
    worst = max(psnr for name, psnr in lost.items() if name != DRAWN)
    longer = median(paired_ratios(one["ms"][EXPORTED], one["ms"][fastest]))
    met = {True: "met", False: "**not met**"}
    loss = f"at most {MOST_LOSS_DB:g} dB lost ({worst:.3f}: {met[worst <= MOST_LOSS_DB]})"
    return (f"Required of what is exported: {loss}, "
            f"at most {MOST_TIME:g} times the fastest ({longer:.2f}: {met[longer <= MOST_TIME]}).")


if __name__ == "__main__":
    main()
