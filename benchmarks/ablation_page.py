"""The page ablation.md: our differences next to the paper's, rendered from the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.hard_pictures import LIMITS
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.tables import markdown_table


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A sentence of the paper as a comparison of two networks, and the differences its tables give, in dB."""

    question: str
    before: str
    after: str
    source: str
    paper_db: Mapping[str, float]


CLAIMS = (
    Claim(question="Does the last convolution help?", before="SRN-S", after="SRN",
          source="Table 3, networks without residuals", paper_db={"Set5": 0.0691, "Set14": 0.0426}),
    Claim(question="Does the old ESA help?", before="no ESA, residual", after="old ESA, residual",
          source="Table 2, without the last convolution", paper_db={"Set5": 0.1615, "Set14": 0.0809}),
    Claim(question="Does the new ESA help?", before="no ESA, residual", after="new ESA, residual",
          source="Table 2, without the last convolution", paper_db={"Set5": 0.1385, "Set14": 0.0582}),
    Claim(question="What does the new ESA cost compared with the old one?", before="old ESA, residual",
          after="new ESA, residual", source="Table 2, without the last convolution",
          paper_db={"Set5": -0.0230, "Set14": -0.0227}),
    Claim(question="Does it help to take the residuals away?", before="new ESA, residual", after="SRN-S",
          source="Table 3, without the last convolution", paper_db={"Set5": 0.0706, "Set14": 0.0427}),
    Claim(question="Does the compact teacher help?", before="SRN-S", after="SRN-S, taught",
          source="Table 4, without the last convolution", paper_db={"Set5": 0.0209, "Set14": 0.0364}),
    Claim(question="Does a strong teacher help?", before="SRN-S", after="SRN-S, taught by a strong model",
          source="Table 4, without the last convolution", paper_db={"Set5": 0.0209, "Set14": 0.0364}),
    Claim(question="Does Muon help?", before="SRN-S, Adam", after="SRN-S", source="not in the paper", paper_db={}),
)
"""Differences of the tables' PSNR, last digit and all."""

STABILITY = Claim(question="What do stress patches cost?", before="SRN-S, photographs only", after="SRN-S",
                  source="not in the paper", paper_db={})

NOT_RESOLVED = "not resolved"

INTRODUCTION = """# The paper's claims, tried

Rendered by `python -m benchmarks.render` from [records/ablation.json](records/ablation.json); measure with
`python -m benchmarks.ablation --data FOLDER --teacher CHECKPOINT`. The paper trains each network for weeks on
thousands of pictures; here each is trained alike for one small budget, so what differs may be how fast a network
learns rather than how far it comes. Differences are taken seed by seed, because two runs of one seed see the
same patches; the spread is that of the seeds. Where the spread exceeds the difference, the answer is *not resolved*."""


def rendered_ablation(record: Record) -> str:
    """The whole page as Markdown."""
    results = record.results
    parts = [INTRODUCTION, budget_sentence(results), "## Answers", answers_table(results),
             "## Every network", networks_table(results), "## Stability", stability(results)]
    return "\n\n".join(parts)


def budget_sentence(results: Mapping[str, Any]) -> str:
    """What every row had in common."""
    teachers = "; ".join(
        f"{kind} (sha256 {teacher['sha256'][:12]}…) " + ", ".join(f"{name} {psnr:.2f} dB" for name, psnr in
                                                              teacher["psnr_y_db"].items())
        for kind, teacher in results["teachers"].items())
    rates = ", ".join(f"{name} from {rate:g}" for name, rate in results["learning_rates"].items())
    return (f"Budget: {results['steps']} steps of {results['batch']} patches of {results['hr_patch_px']} px (HR) from "
            f"{results['pictures']} pictures, {results['blocks']} blocks, {rates}, seeds "
            f"{', '.join(map(str, results['seeds']))}. Teachers: {teachers}.")


def differences(results: Mapping[str, Any], claim: Claim, name: str) -> list[float]:
    """After minus before in dB on one set, seed by seed."""
    scores = {(row["row"], row["seed"]): row["psnr_y_db"][name] for row in results["rows"]}
    return [scores[claim.after, seed] - scores[claim.before, seed] for seed in results["seeds"]]


def answer(values: Sequence[float]) -> str:
    """Yes, no, or not resolved: the spread of the seeds exceeds their mean difference."""
    mean, spread = sum(values) / len(values), max(values) - min(values)
    if len(values) < 2 or spread >= abs(mean):
        return NOT_RESOLVED
    return "higher" if mean > 0 else "lower"


def answers_table(results: Mapping[str, Any]) -> str:
    """One row for each claim and set."""
    rows = [("question", "set", "the paper, dB", "here, dB", "spread, dB", "the second is", "in the paper")]
    for claim in CLAIMS:
        for name in results["sets"]:
            values = differences(results, claim, name)
            paper = claim.paper_db.get(name)
            rows.append((f"{claim.question} ({claim.before} → {claim.after})", name,
                         "–" if paper is None else f"{paper:+.3f}", f"{sum(values) / len(values):+.3f}",
                         f"{max(values) - min(values):.3f}", answer(values), claim.source))
    return markdown_table(rows)


def networks_table(results: Mapping[str, Any]) -> str:
    """PSNR of every row and seed."""
    rows = [("network", "seed", *(f"{name}, dB" for name in results["sets"]))]
    rows += [(row["row"], str(row["seed"]), *(f"{row['psnr_y_db'][name]:.3f}" for name in results["sets"]))
             for row in results["rows"]]
    return markdown_table(rows)


def stability(results: Mapping[str, Any]) -> str:
    """What stress patches cost, and what they are good for."""
    costs = []
    for name in results["sets"]:
        values = differences(results, STABILITY, name)
        costs.append(f"{name} {sum(values) / len(values):+.3f} dB (spread {max(values) - min(values):.3f}, "
                     f"{answer(values)})")
    rows = [("network", "seed", "smallest", "largest")]
    rows += [(row["row"], str(row["seed"]), f"{row['smallest_level']:.0f}", f"{row['largest_level']:.0f}")
             for row in results["rows"] if row["row"] in (STABILITY.before, STABILITY.after)]
    return ("The output before clipping on the hard images (`hard_pictures.py`), in levels of 0…255; of our models "
            f"{LIMITS[0]:g} to {LIMITS[1]:g} is required. One patch in sixteen being a stress patch costs, with "
            f"against without: {'; '.join(costs)}.\n\n{markdown_table(rows)}")


__all__ = ["CLAIMS", "NOT_RESOLVED", "answer", "rendered_ablation"]
