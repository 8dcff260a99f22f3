"""The study of the guard as tables and a plot, from its two records and the verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmarks.guard_study import BOUNDS, verdicts
from benchmarks.plots import DOTS_PER_INCH, digest
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.summary import summarise
from srn_deploy.benchmark.tables import markdown_table

PLOT = "guard.png"

SIZE_INCHES = (10.0, 6.2)

COLOURS = {"healthy": "#1b7abf", "whole": "#7fb069", "doubtful": "#e6ab02", "broken": "#d95f02"}
TITLES = {"healthy": "published pictures", "whole": "hard input, output whole", "doubtful": "hard input, doubtful",
          "broken": "hard input, output broken"}

INTRODUCTION = """## The guard

What `--guard` looks at, on outputs that are healthy and on outputs that are not. Every output is averaged back to
the size of its input and compared block by block (at least 8 × 8 input pixels). *Stray*: how far pixels lie outside
what keeping, smoothing and all between would give. *Shift*: how far the mean moved. *Colour*: how much colour came in.
*Lost*: how far the input lies from black or white where the output is nothing else. All in levels of 0…255, the largest
block of a picture. A block beyond one bound is flagged. Verdicts are a person's
([guard_verdicts.json](guard_verdicts.json)).

Measure: `python -m benchmarks.guard_study healthy`, `python -m benchmarks.guard_study hard`; what it costs:
`python -m benchmarks.guard_cost`.

![The largest sign of every picture as a share of its bound](plots/guard.png)"""


def healthy_tables(results: Mapping[str, Any]) -> list[str]:
    """For each network the largest of every sign over all published pictures, and how many were flagged."""
    rows = [("network", "pictures", *(f"{sign} (bound {bound:g})" for sign, bound in BOUNDS.items()), "flagged")]
    for title, network in results["networks"].items():
        flagged = sum(max(values) > 1 for values in zip(*_over_bounds(network["all"]), strict=True))
        rows.append((title, str(network["pictures"]), *(f"{network['largest'][sign][0]:.1f}" for sign in BOUNDS),
                     str(flagged)))
    return [markdown_table(rows)]


def hard_tables(results: Mapping[str, Any]) -> list[str]:
    """For each network how many outputs a person called what, and how many of them are flagged."""
    judged = verdicts()
    rows = [("network", "outputs", "broken", "of these flagged", "doubtful", "of these flagged", "whole",
             "of these flagged")]
    for title, cases in results["networks"].items():
        cells = [title, str(len(cases))]
        for verdict in ("broken", "doubtful", "whole"):
            own = [case for name, case in cases.items() if judged.get(title, {}).get(name, "whole") == verdict]
            cells += [str(len(own)), str(sum(case["flagged"] > 0 for case in own))]
        rows.append(tuple(cells))
    return [markdown_table(rows)]


def cost_tables(results: Mapping[str, Any]) -> list[str]:
    """Milliseconds with and without, and whether the requirement is met."""
    ratios = summarise(results["ratios"])
    rows = [("figure", "required", "measured", "met"),
            *((f"--guard {name}, ms", "–", f"{1000 * summarise(samples).median:.0f}", "–")
              for name, samples in results["seconds"].items()),
            ("more time", f"at most {results['most_share']:.0%}", f"{ratios.median - 1:.1%}",
             "yes" if ratios.median - 1 <= results["most_share"] else "no")]
    sentence = (f"`{results['model']}` (graph sha256 {results['sha256'][:12]}…) on {results['picture']}, "
                f"{results['width_px']} × {results['height_px']} px, without reading and writing files; "
                f"{results['pairs']} pairs after {results['warm_up_pairs']} to warm up, ratios taken pair by "
                f"pair: quartiles {ratios.lower_quartile - 1:.1%} and {ratios.upper_quartile - 1:.1%}.")
    return [sentence, markdown_table(rows)]


TABLES = {"guard-healthy": healthy_tables, "guard-hard": hard_tables, "guard-cost": cost_tables}
"""Kind of record to what stands on the page."""


def draw_guard(healthy: Record, hard: Record, png: Path) -> None:
    """One row for each network: the largest sign of each picture as a share of its bound, 1200 x 744 px."""
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    canvas, axes, judged = FigureCanvasAgg(figure), figure.subplots(), verdicts()
    titles = list(hard.results["networks"])
    for row, title in enumerate(titles):
        points = {"healthy": [max(values) for values in zip(*_over_bounds(
            healthy.results["networks"].get(title, {"all": {}})["all"]), strict=True)]}
        for name, case in hard.results["networks"][title].items():
            verdict = judged.get(title, {}).get(name, "whole")
            points.setdefault(verdict, []).append(max(case[sign] / bound for sign, bound in BOUNDS.items()))
        for kind, shares in points.items():
            below = {"healthy": 0.12, "whole": -0.12}.get(kind, -0.24)
            axes.plot([max(share, 0.01) for share in shares], [row - below] * len(shares), "o", markersize=5,
                      alpha=0.55, markeredgewidth=0, color=COLOURS[kind])
    for kind, title in TITLES.items():
        axes.plot([], [], "o", color=COLOURS[kind], label=title)
    axes.axvline(1.0, color="0.35", linestyle=":", linewidth=1.4)
    axes.set_xscale("log")
    axes.set_yticks(range(len(titles)), titles)
    axes.invert_yaxis()
    axes.xaxis.set_major_locator(FixedLocator([0.01, 0.03, 0.1, 0.3, 1, 3, 10]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:g}"))
    axes.set(xlabel="largest sign of a picture as a share of its bound; right of 1 it is flagged",
             title="What the guard sees")
    axes.grid(axis="x", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    canvas.print_figure(png, dpi=DOTS_PER_INCH, metadata={"Source": digest([healthy, hard])})


def _over_bounds(signs: Mapping[str, Sequence[float]]) -> list[list[float]]:
    """Each sign's values as shares of its bound."""
    return [[value / BOUNDS[sign] for value in values] for sign, values in signs.items()]
