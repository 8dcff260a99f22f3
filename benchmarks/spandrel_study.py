"""Small networks of spandrel's own classes, with random weights, on the whole road: loaded, measured, exported, proved.

    python -m benchmarks.spandrel_study

It needs the extra `spandrel`; `make test-spandrel` runs it in an environment of its own.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.inputs import RECORDS
from srn_deploy.backends.onnx_runtime import read_spec
from srn_deploy.benchmark.environment import current_environment
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.tables import markdown_table
from srn_deploy.errors import SrnDeployError
from srn_deploy.external import export_external
from srn_deploy.graph.export import ExportOptions
from srn_deploy.registry.resolve import resolve_file
from srn_deploy.system.threads import threads_in_use

PROVED, REFUSED = "proved", "refused"

SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "PLKSR": ("PLKSR", {"dim": 16, "n_blocks": 2, "upscaling_factor": 2, "kernel_size": 5}),
    "RCAN": ("RCAN", {"n_resgroups": 1, "n_resblocks": 1, "n_feats": 8, "reduction": 4, "scale": 2}),
    "SAFMN": ("SAFMN", {"dim": 8, "n_blocks": 1, "upscaling_factor": 2}),
    "SwinIR": ("SwinIR", {"img_size": 32, "window_size": 8, "depths": [1], "embed_dim": 8, "num_heads": [2],
                          "mlp_ratio": 2, "upscale": 2, "upsampler": "pixelshuffledirect"}),
    "DAT": ("DAT", {"embed_dim": 8, "split_size": [8, 8], "depth": [1], "num_heads": [2], "expansion_factor": 2,
                    "upscale": 2, "upsampler": "pixelshuffledirect"}),
}
"""Name of spandrel's package to the class in it, and its settings: of networks that are not built in."""

INTRODUCTION = """## Networks that spandrel knows

Small networks with random weights, made of spandrel's own classes, saved, and read back from their file: what was found
of the sizes they take, the worst difference between the exported graph and PyTorch in levels of 0…255, and the halo of
their tiles. *Whole image*: its tiles differ from the whole image, or it was not possible to make any.

Measure: `make test-spandrel`."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Examine every network and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SMALL)} (default: all)")
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the record")
    options = parser.parse_args(arguments)
    environment, rows = current_environment(threads=threads_in_use()), []
    for name in options.names or SMALL:
        rows.append(examined(name))
        print(f"{name}: {rows[-1]['outcome']}", flush=True)
    record = Record(kind="spandrel", title=f"Networks of spandrel {importlib.metadata.version('spandrel')}",
                    environment=environment, results={"rows": rows})
    record.save(options.records / "spandrel.json")
    print(f"{options.records / 'spandrel.json'} written.")


def examined(name: str) -> dict[str, Any]:
    """One row: a network is made, saved, and its file goes the whole road, in a process of its own as always."""
    torch.manual_seed(0)
    class_name, settings = SMALL[name]
    network = getattr(importlib.import_module(f"spandrel.architectures.{name}"), class_name)(**settings)
    row: dict[str, Any] = {"name": name, "parameters": sum(one.numel() for one in network.parameters())}
    with tempfile.TemporaryDirectory() as folder:
        path, graph = Path(folder) / "network.pth", Path(folder) / "network.onnx"
        torch.save({"params_ema": network.state_dict()}, path)
        try:
            exported = export_external(resolve_file(path), graph, ExportOptions())
        except SrnDeployError as error:
            return {**row, "outcome": REFUSED, "reason": error.message.splitlines()[0].replace(folder, "DIR")}
        spec = read_spec(graph)
    return {**row, "outcome": PROVED, "scale": spec.scale, "min_side_px": spec.min_side_px,
            "size_multiple_px": spec.size_multiple_px, "worst_levels": exported.agreement.worst_levels,
            "halo_px": spec.halo_px, "whole_image": spec.pools_whole_picture,
            "grids": [grid.cell_px for grid in spec.grids], "nodes": exported.nodes}


def spandrel_tables(results: Mapping[str, Any]) -> list[str]:
    """One row for each network."""
    head = ("network", "parameters", "scale", "smallest side, px", "multiples of, px", "worst difference, levels",
            "halo, px", "outcome")
    return [markdown_table([head, *map(_cells, results["rows"])])]


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    if row["outcome"] != PROVED:
        return (row["name"], f"{row['parameters']:,}", *["–"] * 5, f"{row['outcome']}: {row['reason']}")
    halo = "whole image" if row["whole_image"] else str(row["halo_px"])
    return (row["name"], f"{row['parameters']:,}", str(row["scale"]), str(row["min_side_px"]),
            str(row["size_multiple_px"]), f"{row['worst_levels']:.2g}", halo, row["outcome"])


if __name__ == "__main__":
    main()
