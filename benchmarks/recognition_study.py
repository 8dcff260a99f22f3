"""What trying finds out about real checkpoints, and how far apart right and wrong settings are.

    python -m benchmarks.recognition_study DIR

DIR is a folder that holds checkpoints, as a clone of the NTIRE 2022 challenge's repository (ofsoundof/NTIRE2022_ESR).
Every file below it whose keys are recognised is tried, then those of the real data, the shipped models without their
metadata in both value ranges, and untrained networks, which must not pass.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from benchmarks.inputs import RECORDS, data_path
from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.architectures.checkpoint import LoadedNetwork, read_checkpoint
from srn_deploy.architectures.recognition.judgement import in_words
from srn_deploy.architectures.recognition.recognise import Question
from srn_deploy.architectures.recognition.trial import VALUE_RANGE, Trial
from srn_deploy.backends.pytorch import PyTorchBackend
from srn_deploy.benchmark.environment import current_environment
from srn_deploy.benchmark.records import Record
from srn_deploy.errors import CheckpointError, OptionError, UnreadableImage
from srn_deploy.image.trial_image import LEAST_GAIN_DB, LEAST_MARGIN_DB
from srn_deploy.quality.evaluate import evaluate_pairs
from srn_deploy.quality.pairs import find_pairs
from srn_deploy.registry.published import published_with
from srn_deploy.registry.resolve import resolve_file
from srn_deploy.registry.shipped import shipped_models
from srn_deploy.spec import Corrections
from srn_deploy.system.documents import read_json
from srn_deploy.system.threads import usable_cores

SUFFIXES = {".pt", ".pth", ".safetensors"}

UNTRAINED_SEEDS = 3
"""Networks with random weights of each family."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One checkpoint to try."""

    name: str
    path: Path
    corrections: Corrections = field(default_factory=Corrections)
    value_range: float | None = None
    """The right one, where it is known."""
    authors_psnr_db: float | None = None
    """On Set5 by its authors' own code, where it is known."""
    is_trained: bool = True


@dataclass(frozen=True, kw_only=True)
class _Authors:
    """What the authors' own code gives for one checkpoint."""

    declared_range: float | None = None
    set5_psnr_y_declared: float | None = None


@dataclass(frozen=True, kw_only=True)
class _Reference:
    networks: Mapping[str, _Authors]


def main(arguments: Sequence[str] | None = None) -> None:
    """Try every checkpoint and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR", help="where the checkpoints of others lie")
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the record")
    parser.add_argument("--without-data", action="store_true", help="nothing of the real data: no published files, no "
                                                                    "PSNR on Set5")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as made:
        cases = [*others(options.folder, with_data=not options.without_data), *stripped(Path(made)),
                 *untrained(Path(made))]
        record = study(cases, with_set5=not options.without_data)
    record.save(options.records / "recognition.json")
    print(f"{options.records / 'recognition.json'} written.")


def others(folder: Path, *, with_data: bool) -> Iterator[Case]:
    """The checkpoints below a folder, then those of the real data; each file once."""
    reference = _Reference(networks={})
    folders = [folder]
    if with_data:
        path = data_path("reference/ntire2022.json")
        reference = read_json(path, _Reference, lambda reason: OptionError(
            f"{path} is damaged ({reason}).", remedy="Restore it."))
        folders += [data_path("misread"), data_path("checkpoints")]
    seen: set[str] = set()
    for path in (path for each in folders for path in sorted(each.rglob("*")) if path.suffix in SUFFIXES):
        sha256 = resolve_file(path).sha256
        if sha256 in seen:
            continue
        seen.add(sha256)
        authors = reference.networks.get(f"2022_{path.name}", _Authors())
        published = published_with(sha256)
        for one in published:
            yield Case(name=one.name, path=path, corrections=Corrections.parse(one.settings),
                       value_range=one.value_range, authors_psnr_db=authors.set5_psnr_y_declared)
        if not published:
            yield Case(name=path.name, path=path, value_range=authors.declared_range,
                       authors_psnr_db=authors.set5_psnr_y_declared)


def stripped(folder: Path) -> Iterator[Case]:
    """The shipped models, which are trained in 0..1, without metadata, and converted to 0..255."""
    for name, model in shipped_models().items():
        for value_range in (1.0, 255.0):
            weights = safetensors.torch.load_file(model.checkpoint.checked_path())
            weights["head.weight"] /= value_range
            for key in ("tail.weight", "tail.bias"):
                weights[key] *= value_range
            path = folder / f"{name}-{value_range:g}.safetensors"
            safetensors.torch.save_file(weights, path)
            yield Case(name=f"{name} in 0…{value_range:g}, without metadata", path=path, value_range=value_range)


def untrained(folder: Path) -> Iterator[Case]:
    """Networks with random weights."""
    for family in ARCHITECTURES.values():
        if not family.value_ranges:
            continue
        for seed in range(UNTRAINED_SEEDS):
            torch.manual_seed(seed)
            scale = Corrections(options=dict.fromkeys(family.unknown_options, 4))
            path = folder / f"untrained-{family.name}-{seed}.pt"
            torch.save(family.build({**scale.options, "scale": 4}).state_dict(), path)
            yield Case(name=f"{family.name}, untrained, seed {seed}", path=path, corrections=scale, is_trained=False)


def study(cases: Sequence[Case], *, with_set5: bool) -> Record:
    """Try all cases and keep the figures; a file that is no known network is counted."""
    environment = current_environment(threads=usable_cores())
    rows, unknown = [], 0
    for case in cases:
        try:
            row = tried(case, with_set5=with_set5)
        except (CheckpointError, OptionError):
            unknown += 1
            continue
        if row is not None:
            rows.append(row)
            print(f"{case.name}: {row['best_db'] - row['bicubic_db']:+.2f} dB", flush=True)
    if not rows:
        raise UnreadableImage("No checkpoint has the keys of a known network.", remedy="Name another folder.")
    return Record(kind="recognition", title="Settings found by trying", environment=environment, results={
        "least_gain_db": LEAST_GAIN_DB, "least_margin_db": LEAST_MARGIN_DB, "unknown_files": unknown, "rows": rows})


def tried(case: Case, *, with_set5: bool) -> dict[str, Any] | None:
    """The figures of one checkpoint; None where its keys leave nothing open."""
    read = read_checkpoint(resolve_file(case.path), case.corrections)
    question = Question(read=read, said={}, trust=False)
    if not question.can_be_tried:
        return None
    trial, judgement = question.measure(question.choices, {})
    chosen, default = judgement.chosen, question.default
    differing = [name for name in chosen.names if chosen[name] != default[name]]
    scored = with_set5 and case.is_trained
    as_found = set5(question.loaded(judgement)) if scored else None
    by_keys = set5(read.loaded()) if scored and chosen != default else as_found
    return {
        "name": case.name, "sha256": read.spec.source_sha256, "family": read.family.name, "scale": read.spec.scale,
        "is_trained": case.is_trained, "super_resolves": judgement.super_resolves, "bicubic_db": trial.bicubic_db,
        "best_db": trial.scores[0].psnr_db, "value_range": chosen.value_range, "known_range": case.value_range,
        "differing": {name: in_words(chosen[name]) for name in differing if name != VALUE_RANGE},
        "margins_db": margins(trial), "doubts": list(judgement.doubts), "settings": trial.tried,
        "set5_by_keys_db": by_keys, "set5_db": as_found, "authors_db": case.authors_psnr_db}


def margins(trial: Trial) -> dict[str, float]:
    """For everything that is open, how much better the best setting is than the best one with another value."""
    best = trial.scores[0]
    return {name: min(best.psnr_db - score.psnr_db for score in trial.scores
                      if score.setting[name] != best.setting[name])
            for name in best.setting.names if any(score.setting[name] != best.setting[name] for score in trial.scores)}


def set5(loaded: LoadedNetwork) -> float | None:
    """PSNR on Y over Set5; None for a scale that is not among the real data."""
    scale = loaded.spec.scale
    if scale not in (2, 4):
        return None
    folder = data_path(f"images/Set5/x{scale}")
    return evaluate_pairs(PyTorchBackend(loaded), find_pairs(folder / "HR", folder / "LR", scale)).psnr_db


if __name__ == "__main__":
    main()
