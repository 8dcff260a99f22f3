"""A network alone on a CPU, in every precision, in turn in one process."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from srn_deploy.backends import Backend, open_on, open_on_openvino, why_no_bf16
from srn_deploy.benchmark.candidates import wall_clock
from srn_deploy.quantized_graphs import shipped_int8_graph
from srn_deploy.registry.resolve import resolve, resolve_file
from srn_deploy.spec import Precision
from srn_deploy.system.threads import cpu_threads
from srn_deploy.tiling.shapes import Size

PLAIN, BF16, INT8 = "ONNX Runtime FP32", "OpenVINO BF16", "OpenVINO INT8"

WARM_UP_PASSES = 3


def network_times(name: str, size: Size, int8: Path | None, options: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of one pass over one image of this size, for each way and round.

    int8: the graph of the same network in INT8; None: the shipped one, if there is one. Without BF16 on this CPU,
    OpenVINO is measured without it.
    """
    model = resolve(name)
    with cpu_threads(options.threads), ExitStack() as opened:
        backends: dict[str, Backend] = {PLAIN: open_on(model, "cpu")[0],
                                        "OpenVINO FP32": open_on_openvino(model, Precision.FP32)[0]}
        if reason := why_no_bf16():
            print(f"BF16 is left out: {reason}.")
        else:
            backends[BF16] = open_on_openvino(model, Precision.BF16)[0]
        if (quantized := shipped_int8_graph(model) if int8 is None else resolve_file(int8)) is not None:
            backends[INT8] = open_on_openvino(quantized, Precision.INT8)[0]
        for backend in backends.values():
            opened.callback(backend.close)
        passes = {way: wall_clock(backend.prepare((1, *size))) for way, backend in backends.items()}
        rounds = [{way: one() for way, one in passes.items()}
                  for _ in range(WARM_UP_PASSES + options.rounds)][WARM_UP_PASSES:]
    print(f"{name}: measured alone", flush=True)
    return {"network": name, "sha256": model.sha256, "what": f"{size[1]} x {size[0]} px",
            "ms": {way: [one[way] for one in rounds] for way in passes}}
