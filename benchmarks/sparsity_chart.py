"""The chart of `sparsity.py`; from what was measured before, without measuring:

python benchmarks/sparsity_chart.py benchmarks/results/sparsity.json docs/sparsity.png
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from snnr.figures.style import COLORS, DASHES, MARKERS, style
from snnr.kernels.cpu.conv.choose import SPARSE

Series = dict[str, dict[str, list[dict[str, Any]]]]

LABELS = {
    "snnr": "Grad R", "snnr-set": "SET", "snnr-rigl": "RigL", "snnr-deep-r": "Deep R",
    "snnr-magnitude": "magnitude", "snnr-dense": "dense, Adam",
}  # fmt: skip
ALONG = {"connectivity": "connectivity", "density": "spike density"}
#: connectivity from which on convolutions run their dense kernels; linear layers choose alike
DENSE = 100 * SPARSE
NOTE = (
    "Bands: 10th to 90th percentile of the steps. Grey: dense kernels run, whatever is pruned, so "
    "that 50 % is no faster than 100 %.\nThe update of a method with masks is slower there: it "
    "needs no branch where all connections are there.\nElse a point stands out by the machine's "
    "drift."
)


def draw(series: Series, path: Path) -> None:
    """One row per work: step time against connectivity and against density.

    Raises
    ------
    ConfigError : matplotlib is not installed.
    """
    style()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.9 + 3.1 * len(series)), layout="constrained")
    rows = figure.subplots(len(series), 2, squeeze=False)
    panels = [points for kinds in series.values() for points in kinds.values()]
    names = dict.fromkeys(p["contender"] for points in panels for p in points)
    looks = {name: number for number, name in enumerate(names)}
    for row, (name, kinds) in zip(rows, series.items(), strict=True):
        for axes, (along, points) in zip(row, kinds.items(), strict=True):
            _panel(axes, along, points, looks)
            axes.set_title(f"{name}: step against {ALONG[along]}", loc="left", fontweight="bold")
    shown: dict[str, Any] = {}
    for axes in rows.flat:
        handles, labels = axes.get_legend_handles_labels()
        shown |= dict(zip(labels, handles, strict=True))
    columns = min(len(shown), 5)
    figure.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=columns)
    figure.suptitle(NOTE, x=0.01, ha="left", fontsize=8, color="0.35")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _panel(axes: Any, along: str, points: list[dict[str, Any]], looks: dict[str, int]) -> None:
    """Curves of all contenders; one that has a single point is a line across."""
    ticks: list[float] = []
    for contender in dict.fromkeys(p["contender"] for p in points):
        mine = sorted((p for p in points if p["contender"] == contender), key=lambda p: p[along])
        label, number = LABELS.get(contender, contender), looks[contender]
        color = COLORS[number % len(COLORS)]
        x, y = [100 * p[along] for p in mine], [p["median_ms"] for p in mine]
        if len(mine) == 1:
            axes.axhline(y[0], linestyle="--", color="0.4", label=label)
            continue
        low, high = ([p[key] for p in mine] for key in ("p10_ms", "p90_ms"))
        axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
        axes.plot(
            x, y, color=color, marker=MARKERS[number % len(MARKERS)], label=label,
            linestyle=DASHES[number % len(DASHES)], markersize=5,
        )  # fmt: skip
        ticks = max(ticks, x, key=len)
    axes.set(xscale="log", xlabel=f"{ALONG[along]}, % (log scale)", ylabel="training step, ms")
    axes.set_xticks(ticks, [f"{value:g}" for value in ticks])
    axes.minorticks_off()
    # room above for the words, which no curve reaches
    axes.set_ylim(0, 1.18 * max(p["p90_ms"] for p in points))
    if along == "connectivity" and max(ticks, default=0) > DENSE:
        axes.axvspan(DENSE, max(ticks), color="0.93", zorder=0, linewidth=0)
        axes.text(max(ticks), axes.get_ylim()[1], "dense kernels ", ha="right", va="top",
                  fontsize=8, color="0.35")  # fmt: skip


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text())["works"], Path(sys.argv[2]))
