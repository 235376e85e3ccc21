"""Accuracy against connectivity on MNIST: Grad R at several priors, several seeds each.

    python benchmarks/accuracy.py [--epochs 12] [--seeds 3] [--json FILE] [--png FILE]

784-800-10, T=8, batch 128, lr 1e-3, target sparsity 0.95, no augmentation. Beside it stands what
`pairs.py` found of the authors' optimizer in PyTorch. A finished run is kept in the JSON file and
not repeated.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

from report import machine, table

import snnr
from snnr.figures.style import COLORS, style

#: of Grad R, and of dense Adam, which is 0
PRIORS = (0.0, 1e-3, 5e-3, 1e-2, 5e-2, 1e-1, 3e-1)
RESULTS = Path(__file__).resolve().parent / "results"
#: of `pairs.py`, and of the trainings in docs/results.md
PAIRS, METHODS = RESULTS / "pairs.json", RESULTS / "mnist_methods.json"


def authors() -> dict[float, list[tuple[float, float]]]:
    """Accuracy and connectivity of the authors' optimizer by prior, one entry for each seed."""
    found: dict[float, list[tuple[float, float]]] = {}
    for pair in json.loads(PAIRS.read_text())["pairs"]:
        theirs = pair["pytorch"]
        found.setdefault(pair["prior"], []).append((theirs["accuracy"], theirs["connectivity"]))
    return found


def run(prior: float, seed: int, epochs: int) -> dict[str, Any]:
    """Train once; prior 0 is dense Adam."""
    start = time.perf_counter()
    network = snnr.models.mnist_fc(seed=seed)
    parameters = network.parameters()
    optimizer: snnr.optim.Optimizer
    if prior > 0:
        optimizer = snnr.optim.GradR(parameters, lr=1e-3, prior=prior, sparsity=0.95, rng=seed)
    else:
        optimizer = snnr.optim.Adam(parameters, lr=1e-3)
    dataset = snnr.data.load("mnist")
    trainer = snnr.Trainer(network, optimizer, dataset, batch_size=128, epochs=epochs, seed=seed)
    trainer.fit()
    columns = trainer.history
    return {
        "prior": prior,
        "seed": seed,
        "epochs": epochs,
        "accuracy": float(columns["test_accuracy"][-1]),
        "connectivity": float(columns["connectivity"][-1]),
        "test_accuracy": [float(value) for value in columns["test_accuracy"]],
        "seconds": time.perf_counter() - start,
    }


def draw(runs: list[dict[str, Any]], target: Path) -> None:
    """Accuracy against connectivity, one mark per run, and the authors' optimizer."""
    style()
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    figure = Figure(figsize=(7, 4.4), layout="constrained")
    axes = figure.subplots()
    means = []
    for prior in sorted({r["prior"] for r in runs}):
        mine = [r for r in runs if r["prior"] == prior]
        means.append(
            (
                100 * statistics.mean(r["connectivity"] for r in mine),
                100 * statistics.mean(r["accuracy"] for r in mine),
                f"prior {prior:g}" if prior else "dense Adam",
            )
        )
    means.sort()
    label = "snnr, grad-r with a fixed prior, 12 epochs, mean of the seeds"
    axes.plot([m[0] for m in means], [m[1] for m in means], color=COLORS[0], label=label)
    axes.scatter(
        [100 * r["connectivity"] for r in runs],
        [100 * r["accuracy"] for r in runs],
        s=14, color=COLORS[0], alpha=0.6, label="the same, one mark for each seed",
    )  # fmt: skip
    axes.scatter(
        [100 * c for seeds in authors().values() for _, c in seeds],
        [100 * a for seeds in authors().values() for a, _ in seeds],
        marker="x", color=COLORS[1], label="the same in PyTorch, authors' optimizer, each seed",
    )  # fmt: skip
    for i, (x, y, text) in enumerate(means):
        # beside the steep part of the line, else above and below in turn
        shift, side = ((9, -11), "left") if x < 8 else ((0, -18 if i % 2 else 12), "center")
        axes.annotate(text, (x, y), textcoords="offset points", xytext=shift, ha=side, fontsize=8)
    curves = ("grad-r", "constant", COLORS[2], "D"), ("magnitude", "cosine", COLORS[4], "s")
    for name, schedule, colour, marker in curves:
        found = sorted(
            (100 * r["connectivity"], 100 * r["accuracy"])
            for r in json.loads(METHODS.read_text())["runs"]
            if (r["method"], r["schedule"], r["seed"]) == (name, schedule, 0)
            and r["epochs"] <= 60 and "other" not in r  # words that the others have not
        )
        axes.plot(
            *zip(*found, strict=True), marker=marker, ms=5, color=colour, ls="--",
            label=f"snnr, {name} to a target connectivity, one seed",
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xticks([1, 2, 5, 10, 20, 50, 100], ["1", "2", "5", "10", "20", "50", "100"])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("connectivity: surviving weights, % (log scale)")
    axes.set_ylabel("test accuracy, %")
    axes.set_title("MNIST, 784-800-10: accuracy against connectivity", loc="left",
                   fontweight="bold")  # fmt: skip
    axes.margins(0.12, 0.18)
    axes.legend(loc="lower right")
    figure.savefig(target, dpi=130)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0, 1, ... of every prior")
    parser.add_argument("--prior", type=float, action="append", help="repeatable; 0 is dense Adam")
    parser.add_argument("--json", type=Path, help="results; finished runs in it are kept")
    parser.add_argument("--png", type=Path, help="draw the curve")
    args = parser.parse_args()
    found = json.loads(args.json.read_text())["runs"] if args.json and args.json.exists() else []
    runs = [r for r in found if r["epochs"] == args.epochs]
    for seed in range(args.seeds):
        for prior in args.prior or PRIORS:
            if any(r["prior"] == prior and r["seed"] == seed for r in runs):
                continue
            runs.append(run(prior, seed, args.epochs))
            last = runs[-1]
            print(
                f"prior {prior:g} seed {seed}: {100 * last['accuracy']:.2f} % at "
                f"{100 * last['connectivity']:.2f} % connectivity, {last['seconds']:.0f} s",
                flush=True,
            )
            if args.json:
                args.json.write_text(json.dumps({"machine": machine(), "runs": runs}, indent=1))
    rows = []
    for prior in sorted({r["prior"] for r in runs}):
        mine = [r for r in runs if r["prior"] == prior]
        accuracy = [100 * r["accuracy"] for r in mine]
        share = [100 * r["connectivity"] for r in mine]
        theirs = authors().get(prior)
        rows.append(
            [
                f"{prior:g}" if prior else "dense",
                str(len(mine)),
                f"{statistics.mean(accuracy):.2f}",
                f"{min(accuracy):.2f}-{max(accuracy):.2f}",
                f"{statistics.mean(share):.2f}",
                " at ".join(f"{100 * statistics.mean(c):.2f}" for c in zip(*theirs, strict=True))
                if theirs
                else "-",
            ]
        )
    titles = ["prior", "seeds", "accuracy %", "range", "connectivity %", "authors' optimizer"]
    print(table(titles, rows))
    if args.png:
        draw(runs, args.png)


if __name__ == "__main__":
    main()
