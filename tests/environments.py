"""An environment for records that tests make up."""

from __future__ import annotations

from srn_deploy.benchmark.environment import Environment

ENVIRONMENT = Environment(date="2026-01-02", cpu="Some CPU", logical_cores=4, threads=3, memory_gib=8, load_1min=0.0,
                          gpu="none: no driver", system="Linux", python="3.11.0", versions={"numpy": "2.0.0"})
