"""The peers in tiles: those with ESA equal the whole picture, IMDN cannot and says so; and what a pass takes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.profiler import ProfilerActivity, profile

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.architectures.checkpoint import LoadedNetwork, load_checkpoint, save_checkpoint
from srn_deploy.architectures.window_form import WindowForm
from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend
from srn_deploy.backends.protocol import Backend
from srn_deploy.backends.pytorch import PyTorchBackend
from srn_deploy.graph.export import ExportOptions
from srn_deploy.image import read_image
from srn_deploy.inference.upscale import upscale_rgb
from srn_deploy.spec import PixelType
from srn_deploy.tiling.interpolation import whole_geometry
from srn_deploy.tiling.windows import TileOptions
from srn_deploy.verification.export_proof import export_and_prove
from tests.networks import large_picture, seeded_network

ONE_LEVEL = 1 / 255
"""The promise: no pixel of a tiled picture is further from the whole one."""

RLFN: dict[str, Any] = {"scale": 2, "channels": 16, "mid_channels": 16, "esa_channels": 8}
RFDN: dict[str, Any] = {"scale": 2, "channels": 16, "distilled_channels": 8, "esa_channels": 8}
IMDN: dict[str, Any] = {"scale": 2, "channels": 8, "distilled_channels": 2, "squeezed_channels": 2, "blocks": 2}

ESA_NETWORKS = [(name, blocks) for name in ("rlfn", "dipnet", "rfdn") for blocks in (1, 4, 6)]


@pytest.fixture(autouse=True)
def quick(one_thread: None) -> None:
    """Tiny networks."""


def esa_network(name: str, blocks: int) -> LoadedNetwork:
    return seeded_network(name, blocks=blocks, **(RFDN if name == "rfdn" else RLFN))


def worst_difference(backend: Backend, picture: NDArray[np.float32], tiles: TileOptions) -> float:
    """Of the tiled from the whole picture, in 0..1."""
    whole = upscale_rgb(picture, backend, TileOptions(tile=None))
    return float(np.abs(upscale_rgb(picture, backend, tiles) - whole).max())


def picture_of_several_tiles(loaded: LoadedNetwork) -> NDArray[np.float32]:
    """All four edges, inner tiles, odd sides, and far edges off the grid of cells."""
    side = 2 * loaded.spec.halo_px + 2 * 48 + 37
    return large_picture(side, side + 22)


@pytest.mark.parametrize(("name", "blocks"), ESA_NETWORKS)
def test_tiles_are_within_one_level_of_the_whole_at_the_default_halo(name: str, blocks: int) -> None:
    loaded = esa_network(name, blocks)
    assert worst_difference(PyTorchBackend(loaded), picture_of_several_tiles(loaded), TileOptions(tile=48)) < ONE_LEVEL


def test_dilated_convolutions_tile_within_one_level_at_their_own_halo() -> None:
    loaded = seeded_network("rfdn", blocks=2, dilations="1,2,5", **RFDN)
    assert loaded.spec.halo_px == esa_network("rfdn", 2).spec.halo_px + 2 * (1 + 4)  # what dilations reach further
    assert worst_difference(PyTorchBackend(loaded), picture_of_several_tiles(loaded), TileOptions(tile=48)) < ONE_LEVEL


@pytest.mark.parametrize(("name", "blocks"), ESA_NETWORKS)
def test_the_naive_way_fails_the_same_bar(name: str, blocks: int) -> None:
    loaded = esa_network(name, blocks)
    naive = LoadedNetwork(network=loaded.network, spec=replace(loaded.spec, grids=()))
    tiles = TileOptions(tile=48, halo=loaded.spec.halo_px)
    assert worst_difference(PyTorchBackend(naive), picture_of_several_tiles(loaded), tiles) > ONE_LEVEL


@pytest.mark.parametrize(("height", "width"), [(157, 163), (161, 200), (150, 301), (289, 97), (192, 150)])
@pytest.mark.parametrize("name", ["rlfn", "rfdn"])
def test_odd_sides_and_sides_off_the_grid_tile_exactly(name: str, height: int, width: int) -> None:
    backend = PyTorchBackend(esa_network(name, 2))
    assert worst_difference(backend, large_picture(height, width), TileOptions(tile=32)) < ONE_LEVEL


@pytest.mark.parametrize("checkpoint", ["bytedance__RLFN/rlfn_x4.pth", "xiumu00__DIPNet/DIPNet.pth",
                                        "wnxbwyc__SRN/team00_rfdn.pth"])
def test_published_networks_stay_within_a_quarter_of_a_level(data: Path, checkpoint: str) -> None:
    loaded = load_checkpoint(data / "checkpoints" / checkpoint)
    picture = read_image(data / "images/0853x4.png").as_rgb8()[:165, :193].astype(np.float32) / np.float32(255)
    # Trained attention is weaker than that of the seeded networks, so the halo leaves room.
    assert worst_difference(PyTorchBackend(loaded), picture, TileOptions(tile=32)) < ONE_LEVEL / 4


@pytest.mark.parametrize("name", ["rlfn", "dipnet", "rfdn"])
def test_the_deploy_graph_tiles_as_exactly(name: str, tmp_path: Path) -> None:
    loaded = esa_network(name, 2)
    save_checkpoint(tmp_path / "net.safetensors", loaded.network, architecture=name, options=loaded.spec.options,
                    value_range=1.0)
    graph = export_and_prove(tmp_path / "net.safetensors", tmp_path / "net.onnx",
                             ExportOptions(pixel_type=PixelType.FLOAT32)).path
    backend = OnnxRuntimeBackend(graph)
    assert worst_difference(backend, picture_of_several_tiles(loaded), TileOptions(tile=48)) < ONE_LEVEL


@pytest.mark.parametrize(("name", "options"), [
    ("carn", {"scale": 2, "channels": 8}), ("carn", {"scale": 4, "channels": 8, "mobile": True, "groups": 4}),
    ("ecbsr", {"scale": 2, "channels": 8, "blocks": 3})])
def test_without_attention_tiles_equal_the_whole_up_to_rounding(name: str, options: dict[str, Any]) -> None:
    backend = PyTorchBackend(seeded_network(name, **options))
    # The halo is the whole receptive field: only the order of float32 sums differs with the shape.
    assert worst_difference(backend, large_picture(120, 131), TileOptions(tile=32)) < 1e-5


@pytest.mark.parametrize("options", [{"scale": 3, "multi_scale": False}, {"scale": 4}, {"scale": 2, "mobile": True}])
def test_the_halo_of_carn_is_its_receptive_field(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network, scale = ARCHITECTURES["carn"].build({"channels": 8, **options}).double(), options["scale"]
    picture = torch.rand(1, 3, 51, 51, dtype=torch.float64).requires_grad_()
    network(picture)[..., scale * 25:scale * 26, scale * 25:scale * 26].sum().backward()
    assert picture.grad is not None
    rows = picture.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    assert max(25 - int(rows.min()), int(rows.max()) - 25) == ARCHITECTURES["carn"].describe(options).halo_px


def test_a_network_that_pools_the_whole_image_warns_of_its_tiles_once_per_image(
        caplog: pytest.LogCaptureFixture) -> None:
    loaded = seeded_network("imdn", **IMDN)
    assert loaded.spec.pools_whole_picture
    backend, picture = PyTorchBackend(loaded), large_picture(90, 101)
    whole = upscale_rgb(picture, backend, TileOptions(tile=None))
    assert caplog.records == []
    tiled = upscale_rgb(picture, backend, TileOptions(tile=32))
    (said,) = caplog.records
    assert "imdn looks at the whole image" in said.message
    assert "--tile none" in said.message
    assert ONE_LEVEL < np.abs(tiled - whole).max() < 0.5  # another picture, though near


OF_CHALLENGES: list[tuple[str, dict[str, Any]]] = [
    ("efdn", {"distilled_channels": 8, "esa_channels": 4}), ("efdn", {"distilled_channels": 16}),
    ("fmen", {"attention_channels": 8, "blocks": 1}), ("fmen", {"first_attention_channels": 16, "blocks": 1}),
    ("spanv2", {"blocks": 2}), *(("bsrn", {"distilled_channels": distilled, "esa_channels": 4, "blocks": blocks,
                                           "variant": variant})
                                 for distilled, blocks in ((8, 1), (16, 1), (8, 6))
                                 for variant in ("paper", "challenge"))]

MEASURED = [
    *((name, options | {"blocks": blocks, "scale": scale}) for blocks in (1, 3) for scale in (2, 4)
      for name, options in (("rlfn", RLFN), ("dipnet", RLFN), ("rfdn", RFDN), ("imdn", IMDN))),
    *(("carn", {"scale": scale, "channels": 8}) for scale in (2, 3, 4)), ("ecbsr", {"scale": 2, "channels": 32}),
    *((name, options | {"scale": scale, "channels": 16}) for scale in (2, 4) for name, options in OF_CHALLENGES),
    ("srvgg", {"scale": 4, "channels": 16}), ("srvgg", {"scale": 2, "channels": 32}), ("span", {"channels": 24}),
    ("span", {"channels": 8}), *(("rrdbnet", {"channels": 16, "growth": 8, "blocks": 2, **options}) for options in (
        {"scale": 4}, {"scale": 2, "unshuffle": 2}, {"scale": 1}, {"scale": 8})),
]


@pytest.mark.parametrize(("name", "options"), MEASURED)
def test_a_pass_takes_the_memory_that_the_spec_says(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    spec, side = ARCHITECTURES[name].describe(options), 96
    network = ARCHITECTURES[name].build(options).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    inputs = [torch.rand(1, 3, side, side),
              *map(torch.from_numpy, whole_geometry(1, side, side, grids=spec.grids).named().values())]
    network = WindowForm(network, spec.grids)
    with torch.inference_mode():
        network(*inputs)
        with profile(profile_memory=True, activities=[ProfilerActivity.CPU]) as profiled:
            network(*inputs)
    profiled.export_chrome_trace(str(tmp_path / "trace.json"))
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    steps = sorted((event["ts"], event["args"]["Bytes"]) for event in events if event.get("name") == "[memory]")
    peak = max(np.cumsum([size for _, size in steps])) / side**2
    assert 0.8 * spec.activation_bytes_per_px < peak <= 1.02 * spec.activation_bytes_per_px  # the rest is cells
