"""INT8 graphs: made, certified, run, refused."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from srn_deploy import quantized_graphs
from srn_deploy.architectures.checkpoint import save_checkpoint
from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend
from srn_deploy.engine.build import GraphToBuild, build_engine
from srn_deploy.engine.library import open_library
from srn_deploy.engine.options import BuildOptions, default_shapes
from srn_deploy.engine.store import EngineStore
from srn_deploy.errors import ExportMismatch, GraphError, MissingPackage, NotQuantized, OptionError
from srn_deploy.graph.export import ExportOptions, export_graph
from srn_deploy.graph.onnx_file import half_precision_copy, spec_of, stamped
from srn_deploy.image import Image, read_image, write_image
from srn_deploy.quality.metrics import psnr
from srn_deploy.quantization import calibration, drawn_images, export
from srn_deploy.quantization.calibration import images_in, inputs_of, values_inside
from srn_deploy.quantization.channel_groups import channel_groups
from srn_deploy.quantization.equalization import equalized
from srn_deploy.quantization.export import export_int8
from srn_deploy.quantization.int8_graph import int8_copy
from srn_deploy.registry.resolve import resolve, resolve_file
from srn_deploy.spec import Form, PixelType, Precision
from srn_deploy.system.cpu_features import why_int8_is_worse_here
from tests.commands import srn_deploy as run_command
from tests.networks import large_picture, seeded_network
from tests.optional import needs_openvino

needs_nncf = pytest.mark.skipif(importlib.util.find_spec("nncf") is None, reason="needs NNCF: pip install nncf")

needs_tensorrt_rtx = pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None,
                                        reason="needs TensorRT-RTX: pip install tensorrt-rtx")

OPTIONS: dict[str, Any] = {"scale": 2, "channels": 8, "esa_channels": 4, "blocks": 1}


INT8 = ExportOptions(precision=Precision.INT8)

IMAGES = [(large_picture(height, width) * 255).astype(np.uint8) for height, width in ((48, 60), (51, 40))]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRN_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "net.safetensors"
    save_checkpoint(path, seeded_network(**OPTIONS).network, architecture="srn", options=OPTIONS, value_range=1.0)
    return path


@pytest.fixture(scope="module")
def original(checkpoint: Path) -> onnx.ModelProto:
    return export_graph(replace(seeded_network(**OPTIONS)), ExportOptions())


@pytest.fixture(scope="module")
def quantized(original: onnx.ModelProto) -> onnx.ModelProto:
    if importlib.util.find_spec("nncf") is None:
        pytest.skip("needs NNCF: pip install nncf")
    return int8_copy(original, IMAGES)


def output_of(graph: onnx.ModelProto) -> np.ndarray[Any, Any]:
    (found,) = values_inside(graph, [graph.graph.output[0].name], inputs_of(graph, IMAGES[:1]))
    return np.asarray(found[0])


def test_equalized_channels_change_nothing_that_a_network_computes() -> None:
    original = onnx.load(resolve("srn-s-b4-x4").path)
    even = equalized(original, inputs_of(original, IMAGES))
    assert output_of(even).astype(int) == pytest.approx(output_of(original).astype(int), abs=1)  # one rounding may turn
    assert any(one != other for one, other in zip(even.graph.initializer, original.graph.initializer, strict=True))


def test_equalized_channels_have_ranges_that_are_nearer_to_each_other() -> None:
    original = onnx.load(resolve("srn-s-b4-x4").path)
    inputs = inputs_of(original, IMAGES)
    names = [group.readers[0].input[0] for group in channel_groups(original)]
    assert len(names) == 12  # in each of 4 blocks the activation, the pooling, and the features; the last with the sum

    def spread(graph: onnx.ModelProto) -> float:
        values = next(values_inside(graph, names, inputs))
        return float(np.mean([np.std(np.log(np.quantile(np.abs(one[0]), 0.999, axis=(1, 2)) + 1e-3))
                              for one in values]))

    assert spread(equalized(original, inputs)) < 0.8 * spread(original)


def test_channels_that_something_else_sees_are_left_alone() -> None:
    nodes = [onnx.helper.make_node("Conv", ["x", "first"], ["a"], name="one"),
             onnx.helper.make_node("Tanh", ["a"], ["b"], name="curved"),
             onnx.helper.make_node("Conv", ["b", "second"], ["c"], name="two"),
             onnx.helper.make_node("Conv", ["c", "shared"], ["d"], name="three"),
             onnx.helper.make_node("Conv", ["d", "shared"], ["y"], name="four")]
    weights = [numpy_helper.from_array(np.ones((3, 3, 1, 1), np.float32), name)
               for name in ("first", "second", "shared")]
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, 8, 8]) for name in "xy"]
    graph = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", ends[:1], ends[1:], weights))
    assert list(channel_groups(graph)) == []


def test_every_convolution_but_the_first_and_a_small_last_one_reads_int8(quantized: onnx.ModelProto) -> None:
    makers = {name: node.op_type for node in quantized.graph.node for name in node.output}
    convolutions = [node for node in quantized.graph.node if node.op_type == "Conv"]
    dequantized = [all(makers.get(name) == "DequantizeLinear" for name in node.input[:2]) for node in convolutions]
    assert dequantized[0] is False
    assert all(dequantized[1:-1])
    stored = {one.name: one for one in quantized.graph.initializer}
    zeros = [numpy_helper.to_array(stored[node.input[2]]) for node in quantized.graph.node
             if node.op_type.endswith("Linear")]
    assert {(zero.dtype.name, bool(zero.any())) for zero in zeros} == {("int8", False)}
    assert {stored[node.input[2]].data_type for node in convolutions} == {onnx.TensorProto.FLOAT}


def test_an_int8_graph_says_so_and_is_otherwise_the_same_model(original: onnx.ModelProto,
                                                               quantized: onnx.ModelProto) -> None:
    assert spec_of(quantized, "") == replace(spec_of(original, ""), precision=Precision.INT8)
    assert [one.name for one in quantized.graph.input] == [one.name for one in original.graph.input]


def test_calibration_images_are_the_same_every_time_and_have_all_levels() -> None:
    first, second = list(drawn_images.drawn_images()), list(drawn_images.drawn_images())
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
    levels = np.concatenate([image.ravel() for image in first])
    assert (levels.min(), levels.max()) == (0, 255)
    assert 45 < levels.std() < 70  # photographs have about 60


@needs_nncf
@needs_openvino
def test_a_checkpoint_becomes_a_certified_int8_graph_that_upscales(tmp_path: Path) -> None:
    for number, image in enumerate(islice(drawn_images.drawn_images(), 4)):
        write_image(tmp_path / "calibrate" / f"{number}.png", Image(pixels=image))
    done = run_command("export", "srn-s-b4-x4", "--int8", "--calibrate", tmp_path / "calibrate", "-o", "small.onnx",
                       cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "dB PSNR lost on 4 images; calibrated on 3 images of " in done.stderr
    certificate = json.loads((tmp_path / "small.onnx.certificate.json").read_text())
    assert certificate["passed"]
    assert certificate["precision"] == "int8"
    assert ("multiplied in FP32" in certificate["ran_on"]) == bool(why_int8_is_worse_here())
    assert ("loses more here" in done.stderr) == bool(why_int8_is_worse_here())
    write_image(tmp_path / "in.png", Image(pixels=IMAGES[0]))
    done = run_command("upscale", "in.png", "out.png", "--model", "small.onnx", cwd=tmp_path)
    assert "in INT8 on the CPU" in done.stderr
    assert read_image(tmp_path / "out.png").pixels.shape == (192, 240, 3)


@needs_nncf
def test_a_graph_in_fp32_can_be_made_int8_too(original: onnx.ModelProto, tmp_path: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "drawn_images", lambda: iter(IMAGES))
    monkeypatch.setattr("srn_deploy.verification.certificate.Certificate.failures", [])
    onnx.save(original, tmp_path / "net.onnx")
    made = export_int8(resolve_file(tmp_path / "net.onnx"), tmp_path / "net-int8.onnx", INT8)
    assert made.calibrated_on == "drawn images"
    assert quantized_graphs.is_int8(resolve_file(made.path))
    with pytest.raises(OptionError, match="a deploy graph with uint8 pixels"):
        export_int8(resolve_file(tmp_path / "net.onnx"), tmp_path / "p.onnx", replace(INT8, form=Form.PORTABLE))


@needs_nncf
def test_on_a_cpu_without_vnni_products_of_the_certificate_are_in_fp32_and_it_is_said(
        original: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(calibration, "drawn_images", lambda: iter(IMAGES))
    monkeypatch.setattr("srn_deploy.verification.certificate.Certificate.failures", [])
    monkeypatch.setattr(export, "why_int8_is_worse_here", lambda: "it has no VNNI")
    onnx.save(original, tmp_path / "net.onnx")
    made = export_int8(resolve_file(tmp_path / "net.onnx"), tmp_path / "net-int8.onnx", INT8)
    assert made.certificate.ran_on == "ONNX Runtime, 8-bit values multiplied in FP32"
    assert "loses more here: it has no VNNI." in caplog.text
    with (closing(OnnxRuntimeBackend(made.path)) as own,
          closing(OnnxRuntimeBackend(made.path, int8_products=False)) as exact):
        batch = IMAGES[0][None]
        found, expected = (backend.run(batch).astype(int) for backend in (own, exact))
    assert psnr(found, expected) > 45
    assert (found != expected).any()


def test_a_graph_that_loses_too_much_is_refused_with_the_remedy_and_leaves_no_file(
        original: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def blunt(graph: onnx.ModelProto, images: object) -> onnx.ModelProto:
        made = onnx.ModelProto()
        made.CopyFrom(graph)
        tail = next(one for one in made.graph.initializer if one.name.endswith("tail.bias"))
        tail.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tail) + np.float32(0.2), tail.name))
        return stamped(made, replace(spec_of(graph, ""), precision=Precision.INT8))

    monkeypatch.setattr(export, "check_installed", lambda: None)
    monkeypatch.setattr(export, "int8_copy", blunt)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    onnx.save(original, tmp_path / "net.onnx")
    with pytest.raises(ExportMismatch, match=r"too far from the FP32 one: .* at least 38 dB are required") as caught:
        export_int8(resolve_file(tmp_path / "net.onnx"), tmp_path / "net-int8.onnx", INT8)
    assert "--calibrate FOLDER" in caught.value.remedy
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".onnx"] == ["net.onnx"]


def test_what_int8_cannot_be_made_of_is_refused(original: onnx.ModelProto, quantized: onnx.ModelProto) -> None:
    for graph, precision in (half_precision_copy(original), "FP16"), (quantized, "INT8"):
        with pytest.raises(OptionError, match=f"computes in {precision}, and INT8 is made from FP32"):
            int8_copy(graph, IMAGES)
    with pytest.raises(OptionError, match="INT8 needs images"):
        export_graph(seeded_network(**OPTIONS), INT8)
    with pytest.raises(OptionError, match="INT8 cannot represent 16 bits"):
        ExportOptions(precision=Precision.INT8, pixel_type=PixelType.FLOAT32)


@needs_nncf
def test_a_network_with_hardly_a_convolution_gains_nothing() -> None:
    short = export_graph(seeded_network("srcnn", scale=2), ExportOptions())
    for node in [node for node in short.graph.node if node.op_type == "Conv"][1:]:
        node.op_type = "ConvTranspose"
    with pytest.raises(GraphError, match="1 convolutions, too few"):
        from srn_deploy.quantization.nncf_quantizer import quantized as by_nncf
        by_nncf(short, [])


def test_without_nncf_the_install_line_is_named(original: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingPackage) as caught:
        int8_copy(original, IMAGES)
    assert caught.value.remedy == "In the checkout run: pip install '.[int8]'"


def test_a_quarter_of_the_images_of_a_folder_is_kept_for_the_certificate(tmp_path: Path) -> None:
    for number in range(8):
        write_image(tmp_path / f"{number}.png", Image(pixels=np.full((300, 20, 3), number, np.uint8)))
    images = images_in(tmp_path)
    assert [int(one.mean()) for one in images.originals] == [3, 7]
    assert [int(one.mean()) for one in images.inputs] == [0, 1, 2, 4, 5, 6]
    assert {one.shape for one in images.inputs} == {(192, 20, 3)}


def test_a_folder_without_images_cannot_calibrate(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no image in"):
        images_in(tmp_path)


@pytest.mark.parametrize(("options", "problem"), [
    (("--int8", "--fp16"), "--fp16 and --int8 both say"), (("--calibrate", "."), "--calibrate is for --int8"),
    (("--int8", "--io", "float32"), "INT8 cannot represent 16 bits"),
    (("--int8", "--calibrate", "absent"), "absent")])
def test_options_of_export_that_contradict_are_refused(options: tuple[str, ...], problem: str, tmp_path: Path) -> None:
    done = run_command("export", *options, cwd=tmp_path)
    assert done.returncode != 0
    assert problem in done.stderr
    assert "Traceback" not in done.stderr


@needs_tensorrt_rtx
def test_engines_are_int8_where_their_graph_is_and_nowhere_else(original: onnx.ModelProto, quantized: onnx.ModelProto,
                                                                tmp_path: Path) -> None:
    library, store = open_library("tensorrt-rtx"), EngineStore(tmp_path)

    def built(graph: onnx.ModelProto, precision: Precision) -> Counter[str]:
        spec, data = spec_of(graph, ""), graph.SerializeToString()
        options = BuildOptions(precision=precision, shapes=(default_shapes(spec),), optimization_level=0)
        one = GraphToBuild(name="net", data=data, sha256="0" * 64, spec=spec)
        return Counter(build_engine(one, options, library, store).manifest.convolutions)

    with pytest.raises(OptionError, match="computes in FP32, and INT8 needs images"):
        built(original, Precision.INT8)
    with pytest.raises(OptionError, match="computes in INT8 already; FP16 cannot be made of it"):
        built(quantized, Precision.FP16)
    pretended = stamped(onnx.ModelProto.FromString(original.SerializeToString()),
                        replace(spec_of(original, ""), precision=Precision.INT8))
    with pytest.raises(NotQuantized, match=r"its convolutions compute in \{'FLOAT': "):
        built(pretended, Precision.INT8)
