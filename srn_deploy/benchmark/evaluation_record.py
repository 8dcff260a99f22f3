"""The record of an evaluation: its scores, with the model, the test set and the machine."""

from __future__ import annotations

import json
from pathlib import Path

from srn_deploy.benchmark.environment import current_environment
from srn_deploy.benchmark.records import Record
from srn_deploy.quality.evaluate import Evaluation
from srn_deploy.quality.pairs import set_name
from srn_deploy.spec import ModelSpec
from srn_deploy.system.threads import threads_in_use


def record_of(evaluation: Evaluation, spec: ModelSpec, *, hr: Path, small: str) -> Record:
    """The evaluation with the artefact's spec, the test set and the environment; small: where LR comes from."""
    return Record(kind="eval", title=f"{spec.architecture} x{spec.scale} on {set_name(hr)}",
                  environment=current_environment(threads=threads_in_use()),
                  results={"spec": json.loads(spec.to_json()), "set": set_name(hr), "hr": hr.name, "lr": small,
                           **evaluation.as_results()})
