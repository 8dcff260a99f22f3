"""`srn-deploy triton-repository`: what Triton reads is what was asked for, and what does not fit is refused by name."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from srn_deploy.errors import MissingPackage, OptionError, UnsuitableServer
from srn_deploy.inference.guard import Guard
from srn_deploy.registry.shipped import default_model, shipped_models
from srn_deploy.serving.options import InstanceOptions, QueueOptions, ServeOptions, parsed_version
from srn_deploy.spec import Corrections
from srn_deploy.tiling.windows import TileOptions
from tests.commands import srn_deploy

pytest.importorskip("tritonclient.grpc", reason="needs tritonclient: pip install '.[triton]'")

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as triton

from srn_deploy.serving import served
from srn_deploy.serving.bare_models import bare_engine, bare_graph
from srn_deploy.serving.repository import write_repository
from srn_deploy.serving.served import ServedModel

MODEL = "srn-s-b6-x2"


def config(place: Path) -> Any:
    """The configuration, read by the class that the server's own format is generated from."""
    return text_format.Parse((place / "config.pbtxt").read_text(encoding="utf-8"), triton.ModelConfig())


def written(folder: Path, **options: Any) -> Any:
    write_repository(folder, [MODEL], ServeOptions(**options))
    return config(folder / MODEL)


def test_without_a_model_the_default_one_is_written(tmp_path: Path) -> None:
    (model,) = write_repository(tmp_path, [])
    assert (model.name, model.version, model.is_new) == (default_model(), 1, True)


def test_images_of_any_size_and_of_three_types_are_taken(tmp_path: Path) -> None:
    read = written(tmp_path)
    assert (read.name, read.backend, read.max_batch_size) == (MODEL, "python", 0)
    kinds = {"IMAGE": triton.TYPE_UINT8, "IMAGE_16": triton.TYPE_UINT16, "IMAGE_FLOAT": triton.TYPE_FP32}
    assert {each.name: each.data_type for each in read.input} == kinds
    assert all(list(each.dims) == [-1, -1, -1] and each.optional for each in read.input)
    assert [each.name for each in read.output] == ["UPSCALED", "UPSCALED_16", "UPSCALED_FLOAT", "FINDINGS"]


def test_clients_learn_the_scale_and_the_limit_from_the_configuration(tmp_path: Path) -> None:
    read = written(tmp_path, max_megapixels=2.5)
    said = {key: value.string_value for key, value in read.parameters.items()}
    assert (said["srn_deploy.scale"], said["srn_deploy.most_megapixels"]) == ("2", "2.5")
    assert said["srn_deploy.contract"] == "1"


def test_it_runs_on_the_cpu_or_on_the_gpus_that_are_named(tmp_path: Path) -> None:
    (on_cpu,) = written(tmp_path).instance_group
    assert (on_cpu.kind, on_cpu.count) == (triton.ModelInstanceGroup.KIND_CPU, 1)
    (on_gpus,) = written(tmp_path, instances=InstanceOptions(gpus=(0, 2), count=2)).instance_group
    assert (on_gpus.kind, on_gpus.count, list(on_gpus.gpus)) == (triton.ModelInstanceGroup.KIND_GPU, 2, [0, 2])


def test_every_instance_holds_the_same_resource_so_that_the_server_can_limit_the_rate(tmp_path: Path) -> None:
    (group,) = written(tmp_path).instance_group
    (resource,) = group.rate_limiter.resources
    assert (resource.name, resource.count, getattr(resource, "global")) == ("srn_deploy", 1, True)
    (group,) = written(tmp_path, instances=InstanceOptions(gpus=(0,))).instance_group
    assert not getattr(group.rate_limiter.resources[0], "global")  # of each GPU


def test_the_queue_has_an_end_and_a_time_after_which_requests_are_refused(tmp_path: Path) -> None:
    policy = written(tmp_path, queue=QueueOptions(most_waiting=5, most_wait_s=2.5)).dynamic_batching
    assert policy.default_queue_policy.max_queue_size == 5
    assert policy.default_queue_policy.default_timeout_microseconds == 2_500_000
    assert policy.default_queue_policy.timeout_action == triton.ModelQueuePolicy.REJECT


def test_without_a_limit_requests_do_not_go_through_the_queue_that_has_one(tmp_path: Path) -> None:
    assert not written(tmp_path).HasField("dynamic_batching")
    policy = written(tmp_path, queue=QueueOptions(most_wait_s=1.5)).dynamic_batching.default_queue_policy
    assert (policy.max_queue_size, policy.default_timeout_microseconds) == (0, 1_500_000)


def test_every_instance_upscales_an_image_before_it_is_called_ready(tmp_path: Path) -> None:
    (warm_up,) = written(tmp_path).model_warmup
    assert warm_up.batch_size == 1  # with 0, which is the default, Triton runs none
    assert list(warm_up.inputs["IMAGE"].dims) == [64, 64, 3]


def test_the_environment_is_named_where_it_is_given(tmp_path: Path) -> None:
    assert "EXECUTION_ENV_PATH" not in written(tmp_path).parameters
    read = written(tmp_path, environment=Path("/an/environment"))
    assert read.parameters["EXECUTION_ENV_PATH"].string_value == "/an/environment"


def test_the_model_is_copied_and_opened_as_it_was_asked_for(tmp_path: Path) -> None:
    written(tmp_path, device="cpu", precision="fp32", max_megapixels=3.0)
    version = tmp_path / MODEL / "1"
    model = ServedModel.read(version)
    shipped = shipped_models()[MODEL].graph
    assert (version / model.file).read_bytes() == shipped.path.read_bytes()
    assert (model.sha256, model.device, model.precision, model.max_megapixels) == (
        shipped.sha256, "cpu", "fp32", 3.0)
    with model.open(version) as upscaler:
        assert upscaler.spec.scale == 2
        assert upscaler.setup.fallback  # images of 16 bits keep their bits


def test_tiles_and_the_guard_are_those_that_were_asked_for(tmp_path: Path) -> None:
    written(tmp_path, device="cpu", tiles=TileOptions(tile=96, halo=24), guard=Guard.REPAIR)
    with ServedModel.read(tmp_path / MODEL / "1").open(tmp_path / MODEL / "1") as upscaler:
        assert (upscaler.setup.tiles, upscaler.setup.guard) == (TileOptions(tile=96, halo=24), Guard.REPAIR)


def test_the_model_file_imports_the_model_of_the_package(tmp_path: Path) -> None:
    written(tmp_path)
    tree = ast.parse((tmp_path / MODEL / "1" / "model.py").read_text(encoding="utf-8"))
    (imported,) = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert imported.module == "srn_deploy.serving.server_model"
    assert importlib.util.find_spec(imported.module) is not None


def test_the_same_again_is_the_same_version_and_another_model_the_next_one(tmp_path: Path) -> None:
    graph = tmp_path / "face.onnx"
    graph.write_bytes(shipped_models()["srn-s-b4-x4"].graph.path.read_bytes())
    folder = tmp_path / "models"
    first, again = (write_repository(folder, [str(graph)])[0] for _ in range(2))
    assert (first.name, first.version, first.is_new) == ("face", 1, True)
    assert (again.version, again.is_new) == (1, False)
    graph.write_bytes(shipped_models()["srn-s-b6-x4"].graph.path.read_bytes())
    (later,) = write_repository(folder, [str(graph)], ServeOptions(versions=2))
    assert (later.version, later.is_new) == (2, True)
    assert sorted(path.name for path in (folder / "face").iterdir()) == ["1", "2", "config.pbtxt"]
    assert config(folder / "face").version_policy.latest.num_versions == 2


def test_versions_of_one_model_have_one_scale(tmp_path: Path) -> None:
    graph = tmp_path / "face.onnx"
    graph.write_bytes(shipped_models()["srn-s-b6-x4"].graph.path.read_bytes())
    write_repository(tmp_path / "models", [str(graph)])
    graph.write_bytes(shipped_models()["srn-s-b6-x2"].graph.path.read_bytes())
    with pytest.raises(OptionError, match=r"enlarges 4 times, and face\.onnx 2 times"):
        write_repository(tmp_path / "models", [MODEL, str(graph)])
    assert sorted(path.name for path in (tmp_path / "models").rglob("*") if path.is_dir()) == ["1", "face"]


def test_copies_on_all_gpus_divide_the_threads_that_the_server_may_use(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, device="cpu", instances=InstanceOptions(gpus=(0, 2), count=2))
    version = tmp_path / MODEL / "1"
    model = ServedModel.read(version)
    assert model.instances == 4
    monkeypatch.setattr(served, "usable_cores", lambda: 12)
    with model.open(version) as upscaler:
        assert upscaler.setup.threads == 3


def test_a_checkpoint_is_served_with_its_corrections(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs PyTorch: pip install '.[torch]'")
    checkpoint = shipped_models()[MODEL].checkpoint.path
    given = Corrections(value_range=255.0)
    write_repository(tmp_path, [str(checkpoint)], ServeOptions(corrections=given))
    model = ServedModel.read(tmp_path / MODEL / "1")
    assert (model.file, model.value_range) == (checkpoint.name, 255.0)


def test_a_network_of_ones_own_class_is_served_as_a_graph() -> None:
    with pytest.raises(OptionError, match="own class"):
        ServeOptions(corrections=Corrections(network="net.py:Net"))


def test_two_models_of_one_name_are_refused(tmp_path: Path) -> None:
    copy = tmp_path / f"{MODEL}.onnx"
    copy.write_bytes(shipped_models()[MODEL].graph.path.read_bytes())
    with pytest.raises(OptionError, match="Two models are called"):
        write_repository(tmp_path / "models", [MODEL, str(copy)])
    assert not (tmp_path / "models").exists()


def test_a_name_that_a_server_does_not_take_is_refused(tmp_path: Path) -> None:
    copy = tmp_path / "my model.onnx"
    copy.write_bytes(shipped_models()[MODEL].graph.path.read_bytes())
    with pytest.raises(OptionError, match="'my model' cannot be the name"):
        write_repository(tmp_path / "models", [str(copy)])


def test_models_of_others_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / MODEL).mkdir()
    (tmp_path / MODEL / "config.pbtxt").write_text('name: "theirs"', encoding="utf-8")
    with pytest.raises(OptionError, match="was not written by srn-deploy"):
        write_repository(tmp_path, [MODEL])
    assert [path.name for path in (tmp_path / MODEL).iterdir()] == ["config.pbtxt"]


def test_the_bare_graph_is_served_with_the_tensors_that_it_has(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="needs onnx: pip install '.[torch]'")
    written(tmp_path, onnxruntime="1.22.0")
    place = tmp_path / f"{MODEL}-graph"
    read = config(place)
    assert (read.platform, read.max_batch_size) == ("onnxruntime_onnx", 0)
    assert [(each.name, list(each.dims)) for each in read.input] == [
        ("pixels", [-1, -1, -1, 3]), ("rows", [-1, -1, -1]), ("cols", [-1, -1, -1])]
    assert read.input[0].data_type == triton.TYPE_UINT8
    assert (place / "1" / "model.onnx").read_bytes() == shipped_models()[MODEL].graph.path.read_bytes()


def test_an_onnx_runtime_that_is_too_old_for_the_graph_is_refused_by_name(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="needs onnx: pip install '.[torch]'")
    with pytest.raises(UnsuitableServer, match=r"needs ONNX Runtime 1\.18, and the server has 1\.17\.3"):
        written(tmp_path, onnxruntime="1.17.3")
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_is_no_graph_for_onnx_runtime() -> None:
    pytest.importorskip("onnx", reason="needs onnx: pip install '.[torch]'")
    from srn_deploy.registry.resolve import ModelKind, resolve

    with pytest.raises(OptionError, match="no graph"):
        bare_graph(resolve(MODEL, wanted=ModelKind.CHECKPOINT), "1.22")


def test_a_tensorrt_without_an_engine_of_its_own_is_refused_by_name(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="needs onnx: pip install '.[torch]'")
    from srn_deploy.registry.resolve import resolve

    with pytest.raises(UnsuitableServer, match=r"TensorRT 10\.15\.1, and there is no engine of"):
        bare_engine(resolve(MODEL), "10.15.1", store(tmp_path))


@pytest.mark.parametrize(("runtime", "built", "fits"), [
    ("tensorrt", "10.15.1.29", True), ("tensorrt", "10.15.2.1", False), ("tensorrt-rtx", "10.15.1.29", False)])
def test_an_engine_is_served_where_the_server_has_the_tensorrt_that_built_it(
        tmp_path: Path, runtime: str, built: str, fits: bool) -> None:
    pytest.importorskip("onnx", reason="needs onnx: pip install '.[torch]'")
    from srn_deploy.registry.resolve import resolve

    model, engines = resolve(MODEL), store(tmp_path)
    save_engine(engines, model.sha256, runtime, built)
    if fits:
        found = bare_engine(model, "10.15.1", engines)
        assert (found.platform, found.file) == ("tensorrt_plan", "model.plan")
        return
    with pytest.raises(UnsuitableServer, match=f"was built by {runtime} {built}"):
        bare_engine(model, "10.15.1", engines)


def store(folder: Path) -> Any:
    from srn_deploy.engine.store import EngineStore

    return EngineStore(folder / "engines")


def save_engine(engines: Any, graph_sha256: str, runtime: str, version: str) -> None:
    from srn_deploy.backends.onnx_runtime import read_spec
    from srn_deploy.engine.identity import Identity
    from srn_deploy.engine.library import Runtime
    from srn_deploy.engine.options import BuildOptions, default_shapes

    spec = read_spec(shipped_models()[MODEL].graph.path)
    identity = Identity(graph_sha256=graph_sha256, options=BuildOptions(shapes=(default_shapes(spec),)),
                        runtime=Runtime(runtime), version=version, srn_deploy="1", target="a GPU")
    engines.save(MODEL, identity, b"a plan", spec=spec, build_seconds=1.0, convolutions={})


@pytest.mark.parametrize("wrong", ["", "ten", "1", "1.2.x", "1..2"])
def test_what_is_no_version_is_refused(wrong: str) -> None:
    with pytest.raises(OptionError, match="not a version"):
        parsed_version(wrong)


@pytest.mark.parametrize(("kind", "wrong"), [
    (InstanceOptions, {"count": 0}), (InstanceOptions, {"gpus": (0, 0)}), (InstanceOptions, {"gpus": (-1,)}),
    (QueueOptions, {"most_waiting": 0}), (QueueOptions, {"most_wait_s": 0.0}), (ServeOptions, {"versions": 0}),
    (ServeOptions, {"max_megapixels": -1.0}), (ServeOptions, {"onnxruntime": "new"})])
def test_options_that_cannot_work_are_refused(kind: type, wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        kind(**wrong)


def test_the_command_prints_the_folder_of_each_model(tmp_path: Path) -> None:
    done = srn_deploy("triton-repository", tmp_path / "models", MODEL, "srn-s-b4-x4", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / "models" / name) for name in (MODEL, "srn-s-b4-x4")]


def test_without_tritonclient_the_command_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from srn_deploy.cli import options

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingPackage, match="needs tritonclient") as caught:
        options.need_triton("Writing a model repository")
    assert "[triton]" in caught.value.remedy
