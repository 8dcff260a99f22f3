"""Many machines by Ray: each of its workers reads, upscales and writes files as a single machine does.

    from srn_deploy import cluster

    for outcome in cluster.upscale_files("photos", "/shared/large", cluster.RayOptions(address="auto")):
        ...

Ray is imported when a cluster is used.
"""

from __future__ import annotations

from srn_deploy.cluster.options import ClusterWork, RayOptions
from srn_deploy.cluster.run import upscale_files, upscale_jobs

__all__ = ["ClusterWork", "RayOptions", "upscale_files", "upscale_jobs"]
