"""Any exported graph with attention like ESA becomes exact on tiles, whatever its grid and its interpolation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from srn_deploy.architectures.checkpoint import LoadedNetwork
from srn_deploy.backends.pytorch import PyTorchBackend
from srn_deploy.errors import GraphError
from srn_deploy.graph.exact_tiling import exactly_tileable
from srn_deploy.graph.export import ExportOptions, export_graph
from srn_deploy.grid import Coordinates, Grid, Interpolation
from srn_deploy.inference.upscale import upscale_rgb
from srn_deploy.spec import Form, ModelSpec
from srn_deploy.tiling.tiles import Tile, batches, cut, geometry_of, plan_tiles
from srn_deploy.tiling.windows import TileOptions

HALO_PX = 48
"""More than any network of this file sees through its cells and its convolutions."""


class Attention(nn.Module):
    """Pools cells, convolves them, and stretches them back over the features."""

    def __init__(self, pool: nn.Module, mode: str = "bilinear",
                 align_corners: bool | None = False) -> None:
        super().__init__()
        self.pool, self.mode, self.align_corners = pool, mode, align_corners
        self.mix = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        cells = self.mix(self.pool(features))
        spread = functional.interpolate(cells, size=features.shape[-2:], mode=self.mode,
                                        align_corners=self.align_corners)
        return features * torch.sigmoid(8 * spread)


class Network(nn.Module):
    """A head, attentions and a sub-pixel tail."""

    def __init__(self, *attentions: nn.Module, scale: int = 2) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 4, 3, padding=1)
        self.attentions = nn.ModuleList(attentions)
        self.tail = nn.Conv2d(4, 3 * scale**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, rgb: Tensor) -> Tensor:
        features = self.head(rgb)
        for attention in self.attentions:
            features = attention(features)
        upscaled: Tensor = self.shuffle(self.tail(features))
        return upscaled


STRIDED_TWICE = nn.Sequential(nn.AvgPool2d(3, 2), nn.MaxPool2d(7, 3))
"""As ESA: 3x3 with stride 2, then a 7x7 pool with stride 3, both without padding."""


def loaded(network: nn.Module, alignment_px: int = 1) -> LoadedNetwork:
    torch.manual_seed(0)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    spec = ModelSpec(architecture="seeded", options={}, scale=2, value_range=1.0, min_side_px=16, halo_px=HALO_PX,
                     activation_bytes_per_px=100, alignment_px=alignment_px)
    return LoadedNetwork(network=network.eval(), spec=spec)


def difference_on_tiles(graph: onnx.ModelProto, height: int = 151, width: int = 163) -> float:
    """The largest difference of tiles from the whole image, in 0..1."""
    spec = ModelSpec.from_json(graph.metadata_props[0].value)
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).random((height, width, 3), np.float32)

    def run(pixels: NDArray[np.float32], tiles: list[Tile]) -> NDArray[np.float32]:
        feeds = geometry_of(tiles, height, width, grids=spec.grids).named()
        return session.run(None, {"pixels": pixels, **feeds})[0]

    [whole] = plan_tiles(height, width, tile_px=None, halo_px=0)
    expected, worst = run(image[None], [whole])[0], 0.0
    plan = plan_tiles(height, width, tile_px=32, halo_px=HALO_PX, alignment_px=spec.window_step_px)
    for batch in batches(plan, 2):
        for tile, window in zip(batch, run(cut(image, batch), batch), strict=True):
            rows, cols = (slice(2 * (side.core_start - side.start), 2 * (side.core_stop - side.start))
                          for side in (tile.rows, tile.cols))
            kept = expected[2 * tile.rows.core_start:2 * tile.rows.core_stop,
                            2 * tile.cols.core_start:2 * tile.cols.core_stop]
            worst = max(worst, float(np.abs(window[rows, cols] - kept).max()))
    return worst


FLOAT = ExportOptions(pixel_type="float32")  # type: ignore[arg-type]  # a StrEnum is its text

GRIDS = [
    (nn.MaxPool2d(4, 4), "bilinear", False, Grid(cell_px=4, first_cell_px=4)),
    (nn.MaxPool2d(7, 7), "bilinear", False, Grid(cell_px=7, first_cell_px=7)),
    (nn.MaxPool2d(16, 8, 4), "bilinear", False, Grid(cell_px=8, first_cell_px=8)),
    (nn.MaxPool2d(12, 12), "nearest", None, Grid(
        cell_px=12, first_cell_px=12, interpolation=Interpolation.NEAREST, coordinates=Coordinates.ASYMMETRIC)),
    (STRIDED_TWICE, "bicubic", False, Grid(cell_px=6, first_cell_px=15, interpolation=Interpolation.CUBIC)),
    (STRIDED_TWICE, "bilinear", True, Grid(cell_px=6, first_cell_px=15, coordinates=Coordinates.ALIGN_CORNERS)),
]


@pytest.mark.parametrize(("pool", "mode", "align_corners", "grid"), GRIDS)
def test_a_grid_is_learned_and_tiles_are_exact(pool: nn.Module, mode: str,
                                               align_corners: bool | None, grid: Grid) -> None:
    graph = export_graph(loaded(Network(Attention(pool, mode, align_corners)), alignment_px=grid.cell_px), FLOAT)
    spec = ModelSpec.from_json(graph.metadata_props[0].value)
    assert [replace(one, rounding=grid.rounding) for one in spec.grids] == [grid]
    assert difference_on_tiles(graph) < 1e-5
    assert "Resize" not in {node.op_type for node in graph.graph.node}


def test_each_grid_gets_a_pair_of_matrices_of_its_own() -> None:
    network = Network(Attention(nn.MaxPool2d(4, 4)), Attention(STRIDED_TWICE), Attention(nn.MaxPool2d(4, 4)))
    graph = export_graph(loaded(network), FLOAT)
    spec = ModelSpec.from_json(graph.metadata_props[0].value)
    assert [grid.cell_px for grid in spec.grids] == [4, 6]
    assert [one.name for one in graph.graph.input] == ["pixels", "rows", "cols", "rows_2", "cols_2"]
    assert spec.window_step_px == 12
    assert difference_on_tiles(graph) < 1e-5


class Shuffled(nn.Module):
    """Attention at half the resolution: its cells are stretched to half the size of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.unshuffle, self.narrow = nn.PixelUnshuffle(2), nn.Conv2d(16, 4, 1)
        self.attention = Attention(nn.MaxPool2d(3, 3))
        self.widen, self.shuffle = nn.Conv2d(4, 16, 1), nn.PixelShuffle(2)

    def forward(self, features: Tensor) -> Tensor:
        shuffled: Tensor = self.shuffle(self.widen(self.attention(self.narrow(self.unshuffle(features)))))
        return shuffled


def test_cells_that_are_stretched_to_half_the_image_are_exact_too() -> None:
    network = loaded(Network(Shuffled()))
    graph = export_graph(replace(network, spec=replace(network.spec, size_multiple_px=2)), FLOAT)
    [grid] = ModelSpec.from_json(graph.metadata_props[0].value).grids
    assert (grid.cell_px, grid.row_px, grid.rows(100), grid.cells(100)) == (6, 2, 50, 16)
    assert difference_on_tiles(graph, 150, 162) < 1e-5


@pytest.mark.parametrize("attentions", [
    (Attention(STRIDED_TWICE, "bicubic"), Attention(nn.MaxPool2d(4, 4))),
    (Attention(nn.MaxPool2d(4, 4)), Attention(nn.MaxPool2d(4, 4), align_corners=True)),
    (Attention(nn.MaxPool2d(6, 6), "nearest", None),)], ids=["two grids", "one aligned", "nearest"])
def test_pytorch_tiles_as_exactly_as_the_graph(attentions: tuple[Attention, ...]) -> None:
    network = loaded(Network(*attentions))
    graph = export_graph(network, FLOAT)
    spec = replace(ModelSpec.from_json(graph.metadata_props[0].value), form=Form.CHECKPOINT)
    backend = PyTorchBackend(replace(network, spec=spec))
    image = np.random.default_rng(0).random((151, 163, 3), np.float32)
    whole = upscale_rgb(image, backend, TileOptions(tile=None))
    assert np.abs(upscale_rgb(image, backend, TileOptions(tile=32)) - whole).max() < 1e-5


class Mean(nn.Module):
    """Attention by the mean of the whole image, stretched over it."""

    def forward(self, features: Tensor) -> Tensor:
        mean = functional.adaptive_avg_pool2d(features, 1)
        return features * functional.interpolate(mean, size=features.shape[-2:], mode="nearest")


def test_what_is_pooled_from_the_whole_image_is_left_and_named() -> None:
    tileable = exactly_tileable(export_graph(loaded(Network(Mean())), FLOAT))
    assert tileable.grids == ()
    assert [text.endswith("it resizes what was pooled from the whole image") for text in tileable.left] == [True]


class Doubled(nn.Module):
    """Resizes by a ratio that is the same for every size."""

    def forward(self, features: Tensor) -> Tensor:
        height, width = features.shape[-2:]
        large = functional.interpolate(features, size=(2 * height, 2 * width), mode="bilinear", align_corners=False)
        return functional.avg_pool2d(large, 2)


def test_a_resize_by_a_fixed_ratio_stays_as_it_is() -> None:
    graph = export_graph(loaded(Network(Doubled())), FLOAT)
    assert ModelSpec.from_json(graph.metadata_props[0].value).grids == ()
    assert exactly_tileable(graph).left == ()


def test_a_network_whose_spec_names_another_grid_is_refused() -> None:
    network = loaded(Network(Attention(nn.MaxPool2d(4, 4))))
    claimed = replace(network.spec, grids=(Grid(cell_px=6, first_cell_px=15),))
    with pytest.raises(GraphError, match="not those of seeded"):
        export_graph(replace(network, spec=claimed), FLOAT)


def test_the_given_graph_is_not_changed() -> None:
    graph = export_graph(loaded(Network(Attention(nn.MaxPool2d(4, 4)))), ExportOptions(form=Form.PORTABLE))
    before = graph.SerializeToString(deterministic=True)
    assert exactly_tileable(graph).grids
    assert graph.SerializeToString(deterministic=True) == before
