"""Runs on a real Ray cluster of two raylets, in a process of its own, whose workers are told to end on the way.

`python -m tests.ray_parts parts|opening|starting IN OUT` prints what became of the files as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

PIXELS_OF_BAND = 30_000
ENDS_AT = ("0-000002.segment", "00002-of")
"""Beginnings of the names of parts at which a worker ends, once each."""

NOTES = "SRN_TEST_NOTES"
"""Variable with the folder where workers note that they ended."""


def small_results_are_large() -> None:
    """Let images be taken by bands that would be small for it, as the process that is compared with does."""
    from srn_deploy.inference import large_results

    large_results.LARGE_RESULT_BYTES = 0


def end_once(path: Path) -> None:
    """End this process at once, as a crash does, where a part is to be written for the first time."""
    for name in ENDS_AT:
        note = Path(os.environ[NOTES]) / name
        if path.name.startswith(name) and not note.exists():
            note.touch()
            os._exit(1)


def end_at_parts() -> None:
    """In every worker: end when some parts are about to be written."""
    from srn_deploy.inference import band_parts
    from srn_deploy.video import frames

    small_results_are_large()
    for module, name in ((frames, "write_segment"), (band_parts, "writing_part")):
        original = vars(module)[name]

        def ending(path: Path, *others: Any, original: Callable[..., Any] = original, **options: Any) -> Any:
            end_once(path)
            return original(path, *others, **options)

        vars(module)[name] = ending


def end_while_opening() -> None:
    """In every worker: end while the model is opened."""
    from srn_deploy.cluster import worker

    vars(worker)["load_as"] = lambda *_, **__: os._exit(1)


def end_while_starting() -> None:
    """In every worker: end before anything of ours is done."""
    from srn_deploy.cluster import worker

    worker.UpscaleWorker.__init__ = lambda *_: os._exit(1)  # type: ignore[method-assign]


HOOKS = {"parts": end_at_parts, "opening": end_while_opening, "starting": end_while_starting}


def main(what: str, source: Path, out: Path) -> None:
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal", NOTES: str(out.parent)}
    import ray
    from ray.cluster_utils import Cluster

    from srn_deploy.cluster import ClusterWork, RayOptions, run, upscale_files
    from srn_deploy.errors import SrnDeployError
    from srn_deploy.inference import band_parts
    from srn_deploy.tiling.windows import TileOptions
    from srn_deploy.video.options import VideoOptions

    small: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
    cluster: Any = Cluster(initialize_head=True, head_node_args=small)
    cluster.add_node(**small)
    ray.init(cluster.address, log_to_driver=False, configure_logging=False,
             runtime_env={"worker_process_setup_hook": f"tests.ray_parts.{HOOKS[what].__name__}",
                          "env_vars": {"PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)}})
    band_parts.BAND_PIXELS = PIXELS_OF_BAND
    run.FEWEST_RESTARTS = 2
    work = ClusterWork(device="cpu", tiles=TileOptions(tile=64),
                       video=VideoOptions(codec="libx264", encoder_options=(("preset", "ultrafast"),)))
    told: dict[str, Any] = {"outcomes": []}
    try:
        for outcome in upscale_files(source, out, RayOptions(cpus=1), work):
            told["outcomes"].append({"name": outcome.job.target.name,
                                     "error": outcome.error and f"{type(outcome.error).__name__} {outcome.error}"})
    except SrnDeployError as error:
        told["error"] = {"name": type(error).__name__, "message": error.message, "remedy": error.remedy}
    sys.stdout.write(json.dumps(told) + "\n")
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
