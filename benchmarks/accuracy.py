"""Accuracy against connectivity on MNIST: Grad R at several priors, several seeds each.

    python benchmarks/accuracy.py [--epochs 12] [--seeds 3] [--json FILE] [--png FILE]

784-800-10, T=8, batch 128, lr 1e-3, target sparsity 0.95, no augmentation: the settings of the
authors' optimizer in the table that the result is printed beside (one seed of theirs). A finished
run is kept in the JSON file and not repeated.
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

#: prior -> (accuracy, connectivity) of the authors' optimizer after 12 epochs, one seed
AUTHORS = {
    0.0: (0.9790, 1.0),
    1e-3: (0.9830, 0.631),
    5e-3: (0.9845, 0.420),
    1e-2: (0.9859, 0.259),
    5e-2: (0.9826, 0.0522),
}


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
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
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
    axes.plot([m[0] for m in means], [m[1] for m in means], color="tab:blue", label="snnr, mean")
    axes.scatter(
        [100 * r["connectivity"] for r in runs],
        [100 * r["accuracy"] for r in runs],
        s=14, color="tab:blue", alpha=0.6, label="snnr, one seed",
    )  # fmt: skip
    axes.scatter(
        [100 * c for _, c in AUTHORS.values()],
        [100 * a for a, _ in AUTHORS.values()],
        marker="x", color="tab:orange", label="the authors' optimizer (PyTorch), one seed",
    )  # fmt: skip
    for i, (x, y, text) in enumerate(means):
        # above and below in turn, where marks are close
        shift = (0, -18) if i % 2 else (0, 12)
        axes.annotate(
            text, (x, y), textcoords="offset points", xytext=shift, ha="center", fontsize=8
        )
    axes.set_xscale("log")
    axes.set_xlabel("connectivity: surviving weights, % (log scale)")
    axes.set_ylabel("MNIST test accuracy, %")
    axes.margins(0.12, 0.18)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=8)
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
        for prior in args.prior or [*AUTHORS, 1e-1, 3e-1]:
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
        theirs = AUTHORS.get(prior)
        rows.append(
            [
                f"{prior:g}" if prior else "dense",
                str(len(mine)),
                f"{statistics.mean(accuracy):.2f}",
                f"{min(accuracy):.2f}-{max(accuracy):.2f}",
                f"{statistics.mean(share):.2f}",
                f"{100 * theirs[0]:.2f} at {100 * theirs[1]:.2f}" if theirs else "-",
            ]
        )
    titles = ["prior", "seeds", "accuracy %", "range", "connectivity %", "authors' optimizer"]
    print(table(titles, rows))
    if args.png:
        draw(runs, args.png)


if __name__ == "__main__":
    main()
