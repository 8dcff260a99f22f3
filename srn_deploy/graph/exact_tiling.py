"""Makes a graph exact on tiles: a Resize whose ratio depends on the size of the image becomes two matrix products.

Networks with spatial attention pool their features and resize the cells back to the size of the image, by a ratio that
belongs to the whole image. Here every such Resize is found, its grid (`Grid`: which cells a side has) is learned from
probes, and it is replaced by two MatMuls whose matrices are inputs of the graph, a pair for each grid. The caller makes
the matrices of a window within its image (`srn_deploy.tiling.interpolation`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper

from srn_deploy.graph.grid_probe import Probed, probe_resizes, run_resize
from srn_deploy.graph.pruning import is_computed, without_unused
from srn_deploy.grid import Coordinates, Grid, Interpolation, Rounding, matrix_names
from srn_deploy.tiling.interpolation import resize_matrix

LARGEST_PERIOD_PX = 64
"""Of known networks: 4 to 16."""

MATRIX_TOLERANCE = 2e-4
"""ONNX Runtime computes positions in float32: at a side of 1,000 px they are off by up to 1000 * 2**-24, twice."""

CHECKED_SIDES_PX = (53, 89, 200, 701)
"""At which our matrices are compared with the operator itself."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TileableGraph:
    """A graph whose tiles are exact where its matrices are those of the whole image."""

    graph: onnx.ModelProto
    grids: tuple[Grid, ...] = ()
    """In the order of the matrices among the inputs; empty where no Resize depends on the size of the image."""
    left: tuple[str, ...] = ()
    """What depends on the size of the image and was left as it is, in words: tiles of the graph are not exact."""


def exactly_tileable(graph: onnx.ModelProto, multiple: int = 1) -> TileableGraph:
    """Replace every Resize with a size-dependent ratio; the given graph is not changed.

    graph: with one image input, NCHW or NHWC, without interpolation matrices; one for a single size stays as it is.
    multiple: what the sides of its images must be a multiple of. Raises GraphError where it cannot be run on images of
    some 40 to 90 px a side.
    """
    depending = [node for node in graph.graph.node if node.op_type == "Resize" and _depends_on_sizes(graph, node)]
    if not depending or _takes_one_size(graph):
        return TileableGraph(graph=graph)
    probed = probe_resizes(graph, depending, multiple)
    found: dict[str, Grid] = {}
    left: list[str] = []
    for node in depending:
        ratio_is_fixed, grid, obstacle = _judged(node, probed[node.output[0]])
        if grid is not None:
            found[node.output[0]] = grid
        elif not ratio_is_fixed:
            left.append(f"{node.name or node.output[0]}: {obstacle}")
    if not found:
        return TileableGraph(graph=graph, left=tuple(left))
    grids = tuple(dict.fromkeys(found.values()))
    kinds = {output: one.element_type for output, one in probed.items()}
    return TileableGraph(graph=_rewritten(graph, found, grids, kinds), grids=grids, left=tuple(left))


def _takes_one_size(graph: onnx.ModelProto) -> bool:
    """Whether both sides of the image are fixed, and with them every ratio."""
    sides = [side.dim_value for side in graph.graph.input[0].type.tensor_type.shape.dim]
    return len([side for side in sides[1:] if side]) == 3


def _depends_on_sizes(graph: onnx.ModelProto, node: NodeProto) -> bool:
    """Whether the sizes or scales of a Resize are computed in the graph."""
    return any(is_computed(graph, name) for name in list(node.input)[2:])


def _judged(node: NodeProto, probed: Probed) -> tuple[bool, Grid | None, str]:
    """Whether the ratio is the same for all sizes; else the grid, or why there is none."""
    ratios = {(rows / cells) for cells, rows in zip(probed.cells.values(), probed.rows.values(), strict=True)}
    if len(ratios) == 1:
        return True, None, ""
    if len(set(probed.cells.values())) == 1:
        return False, None, "it resizes what was pooled from the whole image"
    cell, row = _progression(probed.cells), _progression(probed.rows)
    if not probed.is_square or cell is None or row is None:
        return False, None, "the number of its cells does not follow the size of the image evenly"
    attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    grid = _grid(attributes, cell, row)
    if grid is None or not all(_computes(node, grid, side) for side in CHECKED_SIDES_PX):
        return False, None, "it interpolates in a way that is not known"
    return False, grid, ""


def _progression(counts: Mapping[int, int]) -> tuple[int, int] | None:
    """(period, first): side n has (n - first) // period + 1; None where the counts are otherwise."""
    for period in range(1, LARGEST_PERIOD_PX + 1):
        first = min(side - period * (count - 1) for side, count in counts.items())
        if first > max(side - period * count for side, count in counts.items()):
            return period, first
    return None


def _grid(attributes: Mapping[str, object], cell: tuple[int, int], row: tuple[int, int]) -> Grid | None:
    """None for attributes that our matrices do not know: antialiasing, cropping."""
    def text(name: str, default: str) -> str:
        value = attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else str(value)

    if attributes.get("antialias", 0) or attributes.get("exclude_outside", 0):
        return None
    if text("keep_aspect_ratio_policy", "stretch") != "stretch":
        return None
    try:
        interpolation = Interpolation(text("mode", "nearest"))
        coordinates = Coordinates(text("coordinate_transformation_mode", "half_pixel"))
        rounding = Rounding(text("nearest_mode", "round_prefer_floor"))
    except ValueError:
        return None
    grid = Grid(cell_px=cell[0], first_cell_px=cell[1], row_px=row[0], first_row_px=row[1],
                interpolation=interpolation, coordinates=coordinates)
    if interpolation is Interpolation.NEAREST:
        return replace(grid, rounding=rounding)
    if interpolation is Interpolation.CUBIC:
        return replace(grid, cubic_coefficient=round(float(str(attributes.get("cubic_coeff_a", -0.75))), 6))
    return grid


def _computes(node: NodeProto, grid: Grid, side_px: int) -> bool:
    """Whether the very operator, run on an identity, gives our matrix of a whole side."""
    cells, rows = grid.cells(side_px), grid.rows(side_px)
    difference = run_resize(node, np.eye(cells, dtype=np.float32), rows) - resize_matrix(grid, cells, rows)
    return float(np.abs(difference).max()) <= MATRIX_TOLERANCE


def _rewritten(graph: onnx.ModelProto, found: Mapping[str, Grid], grids: Sequence[Grid],
               kinds: Mapping[str, int]) -> onnx.ModelProto:
    """A copy with matrix products instead of each Resize in `found`, by the name of its output."""
    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    nodes: list[NodeProto] = []
    names = matrix_names(len(grids))
    made: set[str] = set()
    for node in copy.graph.node:
        grid = found.get(node.output[0])
        if grid is None:
            nodes.append(node)
            continue
        number, kind = grids.index(grid), kinds[node.output[0]]
        rows, cols = names[2 * number:2 * number + 2]
        prepared = [_prepared(rows, kind, [0, 1, 2, 3]), _prepared(cols, kind, [0, 1, 3, 2])]
        for steps in prepared:
            nodes += [step for step in steps if step.output[0] not in made]
            made.update(step.output[0] for step in steps)
        stretched = f"{node.output[0]}_stretched"
        nodes += [helper.make_node("MatMul", [prepared[0][-1].output[0], node.input[0]], [stretched]),
                  helper.make_node("MatMul", [stretched, prepared[1][-1].output[0]], [node.output[0]])]
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    copy.graph.initializer.append(helper.make_tensor("channel_axis", TensorProto.INT64, [1], [1]))
    batch, *sides = _sizes_of_image(copy)
    for number, name in enumerate(names):
        grid, side = grids[number // 2], sides[number % 2]
        height = side if (grid.row_px, grid.first_row_px) == (1, 1) else f"{name}_rows"
        copy.graph.input.append(helper.make_tensor_value_info(
            name, TensorProto.FLOAT, [batch, height, f"{name}_cells"]))
    return without_unused(copy)


def _sizes_of_image(graph: onnx.ModelProto) -> list[str | int]:
    """Batch, height and width of the image input: names, or numbers where they are fixed.

    The same names tell ONNX Runtime which values are equally large, so that it reuses their memory.
    """
    dimensions = [str(one.dim_param) or int(one.dim_value) for one in graph.graph.input[0].type.tensor_type.shape.dim]
    return [dimensions[0], *(dimensions[1:3] if isinstance(dimensions[3], int) else dimensions[2:4])]


def _prepared(name: str, kind: int, order: Sequence[int]) -> list[NodeProto]:
    """Nodes that give matrices (N, n, p) as (N, 1, n, p), or transposed, in the type of the cells."""
    nodes = []
    if kind != TensorProto.FLOAT:
        nodes.append(helper.make_node("Cast", [name], [f"{name}_cast"], to=kind))
    before = nodes[-1].output[0] if nodes else name
    nodes.append(helper.make_node("Unsqueeze", [before, "channel_axis"], [f"{name}_4d"]))
    if list(order) != [0, 1, 2, 3]:
        nodes.append(helper.make_node("Transpose", [f"{name}_4d"], [f"{name}_transposed"], perm=list(order)))
    return nodes
