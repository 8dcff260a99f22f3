"""A run on a real Ray cluster of three raylets in a process of its own: one raylet is killed, and one picture kills.

`python -m tests.ray_workers IN OUT` prints what became of each file as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

POISON = "poison.png"
KILL_AFTER = 40
"""Results, of some two hundred."""


def poison() -> None:
    """Let each process of the cluster end at once when it opens one picture, as some codecs do."""
    from srn_deploy.inference import jobs

    opened = vars(jobs)["open_image"]

    def open_or_end(path: Path, **options: Any) -> Any:
        if path.name == POISON:
            os._exit(1)
        return opened(path, **options)

    vars(jobs)["open_image"] = open_or_end


def kill_in_the_middle(cluster: Any, node: Any, out: Path, killed: list[int]) -> None:
    """Kill a raylet with all its workers when so many results are there."""
    while (there := len(list(out.rglob("*.png")))) < KILL_AFTER:
        time.sleep(0.01)
    cluster.remove_node(node, allow_graceful=False)
    killed.append(there)


def main(source: Path, out: Path) -> None:
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
    import ray
    from ray.cluster_utils import Cluster

    from srn_deploy.cluster import ClusterWork, RayOptions, upscale_files

    small: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
    quick = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 300, "health_check_failure_threshold": 3}
    cluster: Any = Cluster(initialize_head=True, head_node_args={**small, "_system_config": quick})
    nodes = [cluster.add_node(**small) for _ in range(2)]
    ray.init(cluster.address, log_to_driver=False, configure_logging=False,
             runtime_env={"worker_process_setup_hook": "tests.ray_workers.poison",
                          "env_vars": {"PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)}})
    killed: list[int] = []
    killer = threading.Thread(target=kill_in_the_middle, args=(cluster, nodes[0], out, killed), daemon=True)
    killer.start()
    outcomes = [{"name": outcome.job.target.relative_to(out).as_posix(),
                 "error": outcome.error and f"{type(outcome.error).__name__} {outcome.error.message}"}
                for outcome in upscale_files(source, out, RayOptions(cpus=1), ClusterWork(device="cpu"))]
    sys.stdout.write(json.dumps({"outcomes": outcomes, "killed": killed}) + "\n")
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
