"""The study of recognition as tables, from its record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from srn_deploy.architectures.recognition.trial import VALUE_RANGE
from srn_deploy.benchmark.tables import markdown_table

INTRODUCTION = """## Recognition by behaviour

What the keys of a checkpoint do not show is found by trying every setting on one drawn image
([how](../docs/networks.md#what-keys-do-not-show)). *Gain*: the best setting over bicubic interpolation, in dB on it.
*Range* and *structure*: how much better it is than the best setting with the other value range, and with another value
of one of the other options. On Set5: PSNR on Y with the usual values of the family, with what was found, and by the
authors' own code.

Measure: `python -m benchmarks.recognition_study DIR`, where DIR is a clone of ofsoundof/NTIRE2022_ESR."""


def recognition_tables(results: Mapping[str, Any]) -> list[str]:
    """What the bounds rest on, one row for each trained network, and one for each family of untrained ones."""
    trained = [row for row in results["rows"] if row["is_trained"]]
    untrained = [row for row in results["rows"] if not row["is_trained"]]
    return [_summary(results, trained, untrained), markdown_table([_HEAD, *map(_cells, trained)]),
            markdown_table([("untrained", "networks", "largest gain, dB", "accepted"), *_families(untrained)])]


_HEAD = ("checkpoint", "family", "range", "other settings than usual", "gain, dB", "range, dB", "structure, dB",
         "Set5 by keys", "Set5 as found", "authors")


def _summary(results: Mapping[str, Any], trained: Sequence[Mapping[str, Any]],
             untrained: Sequence[Mapping[str, Any]]) -> str:
    accepted = [row for row in trained if row["super_resolves"]]
    gains = [_gain(row) for row in accepted]
    wrong_range = [_gain(row) - row["margins_db"][VALUE_RANGE] for row in accepted if VALUE_RANGE in row["margins_db"]]
    structure = [margin for row in accepted if (margin := _structure(row)) is not None]
    known = [row for row in accepted if row["known_range"] is not None]
    right = sum(row["value_range"] == row["known_range"] for row in known)
    return (f"Of {len(trained)} trained checkpoints {len(accepted)} are accepted. The value range is right in {right} "
            f"of the {len(known)} for which it is known. The smallest gain is {min(gains):.2f} dB; with another range "
            f"none gains more than {max(wrong_range):.2f} dB, and no untrained network more than "
            f"{max(map(_gain, untrained), default=0.0):.2f} dB: the bound is {results['least_gain_db']:g} dB. The "
            f"smallest difference that another option makes is {min(structure):.2f} dB: the bound is "
            f"{results['least_margin_db']:g} dB. {results['unknown_files']} other files have the keys of no known "
            f"network, or cannot be read.")


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    differing = ", ".join(f"{name} {value}" for name, value in row["differing"].items())
    scores = (_decibels(row[name]) for name in ("set5_by_keys_db", "set5_db", "authors_db"))
    return (row["name"], row["family"], f"{row['value_range']:g}" if row["super_resolves"] else "refused",
            differing or "–", f"{_gain(row):.2f}", _decibels(row["margins_db"].get(VALUE_RANGE)),
            _decibels(_structure(row)), *scores)


def _families(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    families = {row["family"]: [other for other in rows if other["family"] == row["family"]] for row in rows}
    return [(family, str(len(own)), f"{max(map(_gain, own)):.2f}", str(sum(row["super_resolves"] for row in own)))
            for family, own in families.items()]


def _gain(row: Mapping[str, Any]) -> float:
    return float(row["best_db"] - row["bicubic_db"])


def _structure(row: Mapping[str, Any]) -> float | None:
    return min((margin for name, margin in row["margins_db"].items() if name != VALUE_RANGE), default=None)


def _decibels(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
