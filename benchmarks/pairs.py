"""Accuracy beside PyTorch, in pairs: the same first weights, the same batches in the same order.

    python benchmarks/pairs.py --peer-python peers/bin/python [--pairs 3] [--json FILE]

784-800-10, T=8, batch 128, lr 1e-3, target sparsity 0.95, no augmentation. PyTorch's side is the
hand-written LIF loop and the update of the authors' optimizer (`peers/pairs.py`). One training is
noisy (its last epochs differ by a tenth of a per cent), so what counts is the mean difference of
the pairs, given with its standard error. A finished pair is kept in the JSON file.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from report import machine, table

import snnr

HERE = Path(__file__).resolve().parent
PRIORS = (1e-3, 1e-2, 5e-2)


class Orders(snnr.Callback):
    """Keeps the order of the images of every epoch."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def step(self, trainer: snnr.Trainer) -> None:
        if trainer.position == 1:
            self.kept.append(np.asarray(trainer.state.order, np.uint16))


def ours(prior: float, seed: int, epochs: int, given: Path) -> dict[str, float]:
    """Train once; what the other side is to start from goes to ``given``."""
    data = snnr.data.load("mnist")
    network = snnr.models.mnist_fc(seed=seed)
    start = [p.numpy().copy() for p in network.parameters()]
    optimizer = snnr.optim.GradR(network.parameters(), lr=1e-3, prior=prior, rng=seed)
    orders = Orders()
    trainer = snnr.Trainer(
        network, optimizer, data, batch_size=128, epochs=epochs, seed=seed, callbacks=[orders]
    )
    history = trainer.fit()
    np.savez(
        given, first=start[0], second=start[1], orders=np.array(orders.kept), mean=data.mean,
        std=data.std, x_train=data.x_train, y_train=data.y_train, x_test=data.x_test,
        y_test=data.y_test, prior=prior,
    )  # fmt: skip
    return {
        "accuracy": float(history["test_accuracy"][-1]),
        "connectivity": float(history["connectivity"][-1]),
    }


def pair(prior: float, seed: int, epochs: int, python: str) -> dict[str, Any]:
    """Both sides, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "given.npz"
        mine = ours(prior, seed, epochs, given)
        done = subprocess.run(
            [python, str(HERE / "peers" / "pairs.py"), str(given)],
            stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
    theirs = json.loads(done.stdout)
    return {"prior": prior, "seed": seed, "epochs": epochs, "snnr": mine, "pytorch": theirs}


def summary(pairs: list[dict[str, Any]]) -> tuple[float, float]:
    """Mean of snnr's accuracy minus PyTorch's, in points of a per cent, and its standard error."""
    apart = [100 * (p["snnr"]["accuracy"] - p["pytorch"]["accuracy"]) for p in pairs]
    error = statistics.stdev(apart) / math.sqrt(len(apart)) if len(apart) > 1 else math.nan
    return statistics.mean(apart), error


def row(name: str, pairs: list[dict[str, Any]]) -> list[str]:
    """A row of the table."""
    sides = [
        f"{100 * statistics.mean(p[side]['accuracy'] for p in pairs):.2f} at "
        f"{100 * statistics.mean(p[side]['connectivity'] for p in pairs):.2f}"
        for side in ("snnr", "pytorch")
    ]
    mean, error = summary(pairs)
    return [name, str(len(pairs)), *sides, f"{mean:+.3f} +- {error:.3f}"]


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer-python", required=True, help="interpreter that has PyTorch")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--pairs", type=int, default=3, help="seeds 0, 1, ... of every prior")
    parser.add_argument("--prior", type=float, action="append", help="repeatable")
    parser.add_argument("--json", type=Path, help="results; finished pairs in it are kept")
    args = parser.parse_args()
    found = json.loads(args.json.read_text())["pairs"] if args.json and args.json.exists() else []
    pairs = [p for p in found if p["epochs"] == args.epochs]
    priors = args.prior or list(PRIORS)
    for seed in range(args.pairs):
        for prior in priors:
            if any(p["prior"] == prior and p["seed"] == seed for p in pairs):
                continue
            pairs.append(pair(prior, seed, args.epochs, args.peer_python))
            print(pairs[-1], flush=True)
            if args.json:
                args.json.write_text(json.dumps({"machine": machine(), "pairs": pairs}, indent=1))
    rows = [row(f"{q:g}", [p for p in pairs if p["prior"] == q]) for q in priors]
    titles = ["prior", "pairs", "snnr % at %", "PyTorch % at %", "difference, points"]
    print(table(titles, [*rows, row("all", pairs)]))


if __name__ == "__main__":
    main()
