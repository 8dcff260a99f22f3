"""A network that is not built in: its class is named, its code runs in a process of its own, its graph is proved."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.errors import (
    BackendError,
    DeviceUnavailable,
    ExportMismatch,
    MismatchedTensors,
    OptionError,
)
from srn_deploy.external import prepare
from srn_deploy.external.network_class import construct, load_class
from srn_deploy.external.network_run import NetworkRun
from srn_deploy.external.own_network import OwnNetwork, load_own, make_network
from srn_deploy.external.source_files import find_source, source_digest
from srn_deploy.graph.export import ExportOptions
from srn_deploy.image import Image, read_image, write_image
from srn_deploy.measurement.sizes import Sizes
from srn_deploy.spec import Corrections, ModelSpec, Scalar
from tests.commands import srn_deploy
from tests.own_network_files import NET, ODD, forgotten_modules, saved_weights, write

IMAGE = np.random.default_rng(0).random((1, 3, 40, 44), np.float32)


@pytest.fixture(autouse=True)
def nothing_stays_imported() -> Iterator[None]:
    with forgotten_modules():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of code, and weights of `Net` with 4 features."""
    place = tmp_path_factory.mktemp("own")
    write(place, "net.py", NET)
    write(place, "odd.py", ODD)
    with forgotten_modules():
        source = find_source(f"{place / 'net.py'}:Net")
        saved_weights(construct(load_class(source), {"width": 4}, "Net"), place / "net.pth")
        saved_weights(construct(load_class(find_source(f"{place / 'net.py'}:Other")), {}, "Other"), place / "other.pth")
    return place


def made(file: Path, name: str, settings: Mapping[str, Scalar] | None = None) -> torch.nn.Module:
    source = find_source(f"{file}:{name}")
    return construct(load_class(source), settings or {}, source.title)


def own(file: Path, name: str, settings: Mapping[str, Scalar] | None = None) -> OwnNetwork:
    source = find_source(f"{file}:{name}")
    return make_network(source, settings or {}, source_digest(source))


# The whole road, once

@pytest.fixture(scope="module")
def exported(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    graph = folder / "mine.onnx"
    done = srn_deploy("export", folder / "net.pth", "--network", f"{folder / 'net.py'}:Net", "--set", "width=4",
                      "--trust", "--value-range", "1", "-o", graph,
                      environment={**os.environ, "SRN_CACHE": str(folder / "cache")})
    assert done.returncode == 0, done.stderr
    assert "imported" not in done.stdout + done.stderr
    assert "the graph equals the network" in done.stderr
    return graph


def test_the_graph_says_what_was_found_and_where_it_comes_from(exported: Path) -> None:
    spec = ModelSpec.from_json(onnx.load(exported).metadata_props[0].value)
    assert (spec.architecture, dict(spec.options), spec.scale) == ("Net", {"width": "4"}, 2)
    assert ([grid.cell_px for grid in spec.grids], spec.alignment_px, spec.min_side_px) == ([4], 4, 4)
    assert spec.origin == "Net in net.py"
    assert 0 < spec.halo_px <= 24
    assert spec.activation_bytes_per_px > 0


def test_afterwards_nobody_needs_the_code_and_tiles_equal_the_whole(exported: Path, folder: Path) -> None:
    image = folder / "small.png"
    write_image(image, Image(pixels=np.random.default_rng(1).integers(0, 256, (90, 101, 3), dtype=np.uint8)))
    for name, tile in (("whole", "none"), ("tiled", "32")):
        done = srn_deploy("upscale", image, folder / f"{name}.png", "--model", exported, "--tile", tile, "--guard",
                          "off")
        assert done.returncode == 0, done.stderr
    whole, tiled = (read_image(folder / f"{name}.png").as_rgb8().astype(int) for name in ("whole", "tiled"))
    assert np.abs(whole - tiled).max() <= 1


def test_the_second_use_takes_the_graph_from_the_cache(exported: Path, folder: Path) -> None:
    done = srn_deploy("info", folder / "net.pth", "--network", f"{folder / 'net.py'}:Net", "--set", "width=4",
                      "--trust", "--value-range", "1", environment={**os.environ, "SRN_CACHE": str(folder / "cache")})
    assert done.returncode == 0, done.stderr
    assert "prepared once" not in done.stderr
    assert "Net in net.py" in done.stdout


# Where the class stands

def test_files_and_dotted_names_are_found_without_importing_anything(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "nets/__init__.py", "raise RuntimeError")
    write(tmp_path, "nets/deep/__init__.py", "")
    file = write(tmp_path, "nets/deep/one.py", ODD)
    monkeypatch.chdir(tmp_path)
    for reference in (f"{file}:Base", "nets/deep/one.py:Base", "nets.deep.one:Base"):
        source = find_source(reference)
        assert (source.file, source.root, source.module) == (file, tmp_path, "nets.deep.one")


@pytest.mark.parametrize("reference", ["net.py", "net.py:", ":Net", "net.py:1", "nowhere.py:Net", "no.such.module:Net"])
def test_what_is_no_reference_to_a_class_is_refused_with_the_form(reference: str) -> None:
    with pytest.raises(OptionError) as caught:
        find_source(reference)
    assert "FILE.py:CLASS" in caught.value.remedy


def test_a_change_in_any_file_that_is_imported_makes_another_graph(tmp_path: Path) -> None:
    write(tmp_path, "nets/__init__.py", "")
    write(tmp_path, "nets/parts.py", "WIDTH = 3")
    file = write(tmp_path, "nets/one.py", "from .parts import WIDTH\nfrom . import more\nimport torch")
    write(tmp_path, "nets/more.py", "A = 1")
    write(tmp_path, "nets/beside.py", "B = 1")
    source = find_source(f"{file}:Net")
    before = source_digest(source)
    write(tmp_path, "nets/beside.py", "B = 2")
    assert source_digest(source) == before
    for name in ("parts", "more", "one", "__init__"):
        write(tmp_path, f"nets/{name}.py", f"C = '{name}'\nfrom .parts import *\nfrom . import more")
        assert source_digest(source) != before
        before = source_digest(source)


def test_a_file_may_import_the_files_beside_it_and_its_package(tmp_path: Path) -> None:
    write(tmp_path, "flat net.py", "from helper_of_flat import Base\nclass Net(Base): pass")
    write(tmp_path, "helper_of_flat.py", ODD)
    assert made(tmp_path / "flat net.py", "Net").state_dict()
    write(tmp_path, "pack_a/__init__.py", "")
    write(tmp_path, "pack_a/parts.py", ODD)
    file = write(tmp_path, "pack_a/net.py", "from .parts import Base\nclass Net(Base): pass")
    assert made(file, "Net").state_dict()


# The class and its arguments

@pytest.mark.parametrize(("text", "message"), [
    ("import torch\nimport a_module_that_is_not_there", "imports a_module_that_is_not_there, which is not installed"),
    ("def f(:\n", "SyntaxError"), ("1 / 0", "ZeroDivisionError: division by zero, at line 1 of broken.py"),
    ("raise SystemExit(2)", "SystemExit")])
def test_a_file_that_cannot_be_imported_is_an_error_that_says_why(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        made(write(tmp_path, "broken.py", text), "Net")


def test_of_a_class_that_is_not_there_the_nearest_is_named(folder: Path) -> None:
    with pytest.raises(OptionError, match="no class 'Nett'") as caught:
        made(folder / "net.py", "Nett")
    assert caught.value.remedy == "Did you mean Net?"


@pytest.mark.parametrize(("name", "message"), [
    ("NUMBER", "is not a torch.nn.Module"), ("Exits", "cannot be made with no arguments: SystemExit: no"),
    ("make", "needs scale")])
def test_what_makes_no_network_is_refused(folder: Path, name: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        made(folder / "odd.py", name)


def test_a_function_that_makes_a_network_serves_too(folder: Path) -> None:
    assert made(folder / "odd.py", "make", {"scale": "2"}).state_dict()


def test_arguments_are_read_as_their_annotation_or_default_says(folder: Path) -> None:
    network = made(folder / "net.py", "Net", {"width": "6", "scale": "3", "norm": "false"})
    assert network.get_parameter("tail.weight").shape == (27, 6, 3, 3)
    assert isinstance(network.get_submodule("norm"), torch.nn.Identity)


@pytest.mark.parametrize(("settings", "message", "remedy"), [
    ({}, "needs width", "--set width=VALUE"),
    ({"width": "4", "depth": "2"}, "no argument 'depth'", "width, scale, norm"),
    ({"width": "many"}, "width=many is not of type int", "Correct"), ({"width": "-1"}, "cannot be made with", "--set")])
def test_wrong_arguments_are_named_with_those_that_there_are(
        folder: Path, settings: dict[str, Scalar], message: str, remedy: str) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        made(folder / "net.py", "Net", settings)
    assert remedy in caught.value.remedy


# What it does

@pytest.mark.parametrize(("name", "kind", "message"), [
    ("TwoInputs", OptionError, r"takes 2 inputs \(x, noise\)"), ("Several", OptionError, "returns a list"),
    ("OnGpu", DeviceUnavailable, "asks for a GPU")])
def test_a_forward_that_is_not_image_to_image_is_refused(
        folder: Path, name: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        NetworkRun(made(folder / "odd.py", name), name)(IMAGE)


def test_a_size_that_it_does_not_take_is_an_error_of_the_run(folder: Path) -> None:
    run = NetworkRun(made(folder / "odd.py", "NeedsMultiples"), "NeedsMultiples")
    assert run(IMAGE).shape == (1, 3, 80, 88)
    with pytest.raises(BackendError, match="fails on an image of 41 x 40 px"):
        run(IMAGE[:, :, :40, :41])


def test_sizes_scale_and_channels_are_measured(folder: Path) -> None:
    assert own(folder / "odd.py", "NeedsMultiples").sizes == Sizes(scale=2, min_side_px=4, size_multiple_px=4)
    assert (own(folder / "odd.py", "Luma").channels, own(folder / "odd.py", "Base").channels) == (1, 3)


def test_a_network_without_weights_is_refused(folder: Path) -> None:
    with pytest.raises(OptionError, match="has no weights"):
        own(folder / "odd.py", "Nothing")


# Its weights

TRUSTED = Corrections(value_range=1.0, trust=True)


def test_weights_are_loaded_strictly_counters_and_single_numbers_included(folder: Path) -> None:
    network = own(folder / "net.py", "Net", {"width": "4"})
    loaded = load_own(network, folder / "net.pth", TRUSTED)
    saved = torch.load(folder / "net.pth")["params"]
    assert loaded.network.state_dict().keys() == saved.keys()
    assert all(torch.equal(loaded.network.state_dict()[key], value) for key, value in saved.items())


def test_weights_of_another_class_are_refused_with_the_class_that_fits(folder: Path) -> None:
    with pytest.raises(MismatchedTensors, match="missing") as caught:
        load_own(own(folder / "net.py", "Net", {"width": "4"}), folder / "other.pth", TRUSTED)
    assert caught.value.remedy == "They fit Other better: --network net.py:Other"


def test_while_a_network_is_named_no_other_is_recognised_and_afterwards_all_are(folder: Path) -> None:
    network, before = own(folder / "odd.py", "Base"), list(ARCHITECTURES)
    with ARCHITECTURES.alone(network.family(), network.digest):
        assert list(ARCHITECTURES) == ["Base"]
        assert ARCHITECTURES.package("Base") == network.digest
    assert list(ARCHITECTURES) == before


def test_luma_networks_are_given_luma(folder: Path, tmp_path: Path) -> None:
    network = own(folder / "odd.py", "Luma")
    loaded = load_own(network, saved_weights(network.network, tmp_path / "luma.pth"), Corrections(trust=True))
    assert loaded.spec.colour == "y"
    with torch.no_grad():
        assert loaded.network(torch.from_numpy(IMAGE)).shape == (1, 3, 80, 88)


def test_a_network_that_keeps_tensors_of_its_own_computing_is_made_again(folder: Path, tmp_path: Path) -> None:
    network = own(folder / "odd.py", "KeepsComputed")
    weights = saved_weights(network.network, tmp_path / "kept.pth")
    loaded = load_own(network, weights, TRUSTED)
    assert torch.equal(loaded.network.get_parameter("conv.weight"), torch.load(weights)["params"]["conv.weight"])


# The proof

def test_where_the_graph_differs_at_some_sizes_multiples_become_the_rule(
        folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    network = own(folder / "net.py", "Net", {"width": "4"})
    loaded = load_own(network, folder / "net.pth", TRUSTED)
    tried = []

    def only_by_eight(candidate: object, options: object) -> prepare.Prepared:
        tried.append(candidate.spec.size_multiple_px)  # type: ignore[attr-defined]  # a LoadedNetwork
        if tried[-1] < 8:
            raise ExportMismatch("The graph differs.", remedy="None.")
        return prepare.Prepared(graph=onnx.ModelProto(), agreement=None)  # type: ignore[arg-type]  # not looked at

    monkeypatch.setattr(prepare, "_exported_and_proved", only_by_eight)
    found, _ = prepare._equal_somewhere(loaded, ExportOptions())
    assert (tried, found.spec.size_multiple_px) == ([1, 2, 4, 8], 8)
    assert "multiples of 8 px" in caplog.text


def test_a_graph_that_never_equals_its_network_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_own(own(folder / "net.py", "Net", {"width": "4"}), folder / "net.pth", TRUSTED)

    def never(candidate: object, options: object) -> prepare.Prepared:
        raise ExportMismatch("The graph differs.", remedy="None.")

    monkeypatch.setattr(prepare, "_exported_and_proved", never)
    with pytest.raises(ExportMismatch):
        prepare._equal_somewhere(loaded, ExportOptions())
