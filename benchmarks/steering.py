"""What --prior, --sparsity and --target-connectivity do: short trainings of Grad R on MNIST.

    python benchmarks/steering.py [--epochs 8] [--images 12000] [--json FILE] [--png FILE]

784-800-10, T=8, batch 128, lr 1e-3, one thread, one seed. A finished run is kept in the JSON file
and not repeated.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from report import table

from snnr.figures.style import COLORS, DASHES, MARKERS, style
from snnr.training import run_settings, start

PRIORS = (1e-2, 3e-2, 1e-1, 3e-1, 6e-1)
TARGETS = (0.2, 0.05, 0.02)
#: what each run is given
RUNS: list[dict[str, float]] = [
    *({"prior": prior, "sparsity": share} for share in (0.95, 0.6, 0.5) for prior in PRIORS),
    *({"prior": 1e-3, "sparsity": 0.95, "target_connectivity": share} for share in TARGETS),
]


def run(given: dict[str, float], epochs: int, images: int) -> dict[str, Any]:
    """Train once; the columns of the history that are drawn."""
    settings = run_settings(
        "mnist", epochs=epochs, limit_train=images, threads=1, device="cpu", **given
    )
    trainer = start(settings)
    trainer.fit()
    history = trainer.history
    return {
        "given": given,
        "epochs": epochs,
        "images": images,
        "accuracy": [float(v) for v in history["test_accuracy"]],
        "connectivity": [float(v) for v in history["connectivity"]],
        "prior": [float(v) for v in history["settings"]["prior"]],
        "seconds": sum(history["seconds"]),
    }


def draw(runs: list[dict[str, Any]], target: Path) -> None:
    """Connectivity and prior by epoch; both ends against the prior."""
    style()
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    figure = Figure(figsize=(9, 6.8), layout="constrained")
    places = figure.subplots(2, 2)
    (falling, ending), (moving, learning) = places
    free = [one for one in runs if "target_connectivity" not in one["given"]]
    steered = [one for one in runs if one not in free]
    plain = [one for one in free if one["given"]["sparsity"] == 0.95]

    def shares(values: list[float]) -> list[float]:
        return [100 * value for value in values]

    for number, one in enumerate(plain):
        look = {"color": COLORS[number], "marker": MARKERS[number], "markersize": 4}
        epochs = range(1, one["epochs"] + 1)
        falling.plot(
            epochs, shares(one["connectivity"]), label=f"prior {one['given']['prior']:g}", **look
        )
    for number, one in enumerate(steered):
        look = {"color": "black", "linestyle": DASHES[number + 1], "marker": MARKERS[number + 5]}
        look |= {"markersize": 4}
        epochs = range(1, one["epochs"] + 1)
        label = f"to {100 * one['given']['target_connectivity']:g} %"
        falling.plot(epochs, shares(one["connectivity"]), label=label, **look)
        moving.plot(epochs, one["prior"], label=label, **look)
    for number, (told, mine) in enumerate(_by_sparsity(free).items()):
        look = {"color": COLORS[number], "linestyle": DASHES[number], "marker": MARKERS[number]}
        priors = [one["given"]["prior"] for one in mine]
        label = f"sparsity {told}"
        ending.plot(priors, shares([one["connectivity"][-1] for one in mine]), label=label, **look)
        learning.plot(priors, shares([one["accuracy"][-1] for one in mine]), label=label, **look)
    falling.set(ylabel="connectivity, % (log scale)", xlabel="epoch", yscale="log")
    moving.set(ylabel="prior, in the epoch's last step (log)", xlabel="epoch", yscale="log")
    ending.set(ylabel="connectivity, % (log scale)", xlabel="prior (log scale)")
    ending.set(xscale="log", yscale="log")
    learning.set(ylabel="test accuracy, %", xlabel="prior (log scale)", xscale="log")
    for axes, title in (
        (falling, "Connectivity over epochs"),
        (ending, "Connectivity at the end"),
        (moving, "The prior of steered runs"),
        (learning, "Accuracy at the end"),
    ):
        axes.set_title(title, loc="left", fontweight="bold")
    percents = [1, 2, 5, 10, 20, 50, 100]
    tried = sorted({one["given"]["prior"] for one in free})
    moved = [one["prior"] for one in steered]
    tens = [10.0**power for power in range(-6, 4)]
    low, high = min(map(min, moved), default=1e-3), max(map(max, moved), default=1.0)
    for axis, ticks in (
        (falling.yaxis, percents),
        (ending.yaxis, percents),
        (ending.xaxis, tried),
        (learning.xaxis, tried),
        (moving.yaxis, [ten for ten in tens if low / 10 < ten < 10 * high]),
    ):
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.set_minor_locator(NullLocator())
    last = plain[0]["epochs"]
    for axes in (falling, moving):
        axes.set_xticks(range(1, last + 1))
    for axes in (falling, ending):
        axes.set_ylim(bottom=1)
    falling.set_xlim(0.7, 1.45 * last)  # room for the legend
    for axes in places.flat:
        axes.legend(loc="center right" if axes is falling else "best")
    figure.savefig(target, dpi=100)


def _ends(runs: list[dict[str, Any]]) -> list[tuple[list[float], list[float]]]:
    return [(one["connectivity"], one["accuracy"]) for one in runs]


def _by_sparsity(free: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Runs by what they were told; those that ended alike as one, under both names."""
    found: dict[str, list[dict[str, Any]]] = {}
    for sparsity in sorted({one["given"]["sparsity"] for one in free}):
        mine = [one for one in free if one["given"]["sparsity"] == sparsity]
        same = [key for key, others in found.items() if _ends(others) == _ends(mine)]
        name = f"{sparsity:g}"
        if same:
            found[f"{same[0]} and {name}, which end alike"] = found.pop(same[0])
        else:
            found[name] = mine
    return found


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--images", type=int, default=12_000, help="of the training images")
    parser.add_argument("--json", type=Path, help="results; finished runs in it are kept")
    parser.add_argument("--png", type=Path, help="draw the curves")
    args = parser.parse_args()
    found = json.loads(args.json.read_text()) if args.json and args.json.exists() else []
    wanted = {"epochs": args.epochs, "images": args.images}
    runs = []
    for given in RUNS:
        same = [r for r in found if r["given"] == given and wanted.items() <= r.items()]
        runs.append(same[0] if same else run(given, args.epochs, args.images))
        if args.json:
            args.json.write_text(json.dumps(runs, indent=1))
    rows = [
        [
            *(f"{one['given'].get(k, 0):g}" for k in ("target_connectivity", "prior", "sparsity")),
            f"{100 * one['connectivity'][-1]:.2f}",
            f"{100 * one['accuracy'][-1]:.2f}",
            f"{one['seconds']:.1f}",
        ]
        for one in runs
    ]
    print(table(["target", "prior", "sparsity", "connectivity %", "accuracy %", "seconds"], rows))
    if args.png:
        draw(runs, args.png)


if __name__ == "__main__":
    main()
