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
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import NullFormatter, NullLocator

    figure, places = plt.subplots(2, 2, figsize=(9, 6.4), layout="constrained")
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
    for number, sparsity in enumerate(sorted({one["given"]["sparsity"] for one in free})):
        mine = [one for one in free if one["given"]["sparsity"] == sparsity]
        look = {"color": COLORS[number], "linestyle": DASHES[number], "marker": MARKERS[number]}
        priors = [one["given"]["prior"] for one in mine]
        label = f"sparsity {sparsity:g}"
        ending.plot(priors, shares([one["connectivity"][-1] for one in mine]), label=label, **look)
        learning.plot(priors, shares([one["accuracy"][-1] for one in mine]), label=label, **look)
    falling.set(ylabel="connectivity, %", xlabel="epoch", yscale="log")
    moving.set(ylabel="prior, in the epoch's last step", xlabel="epoch", yscale="log")
    ending.set(ylabel="connectivity at the end, %", xlabel="prior", xscale="log", yscale="log")
    learning.set(ylabel="test accuracy at the end, %", xlabel="prior", xscale="log")
    for axes in (falling, ending):
        axes.set_yticks([1, 2, 5, 10, 20, 50, 100], ["1", "2", "5", "10", "20", "50", "100"])
        axes.yaxis.set_minor_locator(NullLocator())
    for axis in (moving.yaxis, ending.xaxis, learning.xaxis):
        axis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.set_minor_formatter(NullFormatter())
    falling.set_xlim(1, 1.45 * plain[0]["epochs"])  # room for the legend
    for axes in places.flat:
        axes.legend(loc="center right" if axes is falling else "best")
    figure.savefig(target, dpi=100)


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
