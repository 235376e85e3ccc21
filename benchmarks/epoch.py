"""Epochs of the paper's MNIST training, start to end: augmentation, training, evaluation.

    python benchmarks/epoch.py [--epochs 3] [--device cuda] [--json FILE]

784-800-10, T=8, batch 128, Grad R, random affine augmentation, 468 steps and 10,000 test images
an epoch. The authors' code took 12.3 s for an epoch on an NVIDIA V100.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import DISTURBED, busy_seconds, cpu_seconds
from report import machine, number, table

import snnr
from snnr.kernels.threads import set_threads
from snnr.training import Callback

AUTHORS_SECONDS = 12.3


class Watch(Callback):
    """Takes the time of every epoch, training and evaluation apart."""

    def __init__(self, cpus: set[int]) -> None:
        self.cpus = cpus
        self.rows: list[dict[str, float]] = []
        self.begin()

    def begin(self) -> None:
        """An epoch begins."""
        self.started = self.last_step = time.perf_counter()
        self.own, self.busy = cpu_seconds(os.getpid()), busy_seconds(self.cpus)

    def step(self, trainer: snnr.Trainer) -> None:
        """After each step; after the last of an epoch, a device is waited for."""
        if trainer.position == trainer.batches:
            _ = trainer.mean_loss
        self.last_step = time.perf_counter()

    def epoch(self, trainer: snnr.Trainer, row: Mapping[str, Any]) -> None:
        """After each epoch."""
        now = time.perf_counter()
        own = cpu_seconds(os.getpid()) - self.own
        others = max(0.0, busy_seconds(self.cpus) - self.busy - own)
        self.rows.append(
            {
                "seconds": now - self.started,
                "train_seconds": self.last_step - self.started,
                "evaluation_seconds": now - self.last_step,
                "test_accuracy": float(row["test_accuracy"]),
                "connectivity": float(row["connectivity"]),
                "cores_used_by_others": others / (now - self.started),
            }
        )
        self.begin()


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=3, help="the first compiles and warms up")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=2, help="cores to use")
    parser.add_argument("--limit-train", type=int, help="that many training images")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    args = parser.parse_args()
    cpus = set(sorted(os.sched_getaffinity(0))[: args.threads])
    os.sched_setaffinity(0, cpus)
    set_threads(args.threads)
    network = snnr.models.mnist_fc(T=8, seed=0, device=args.device)
    optimizer = snnr.optim.GradR(network.parameters(), lr=1e-4, prior=1e-3, sparsity=0.95)
    dataset = snnr.data.load("mnist", limit_train=args.limit_train)
    watch = Watch(cpus)
    trainer = snnr.Trainer(
        network,
        optimizer,
        dataset,
        batch_size=128,
        epochs=args.epochs,
        augment="affine",
        callbacks=[watch],
    )
    watch.begin()
    trainer.fit()
    rows = [
        [
            str(number_of),
            number(row["seconds"]),
            number(row["train_seconds"]),
            number(row["evaluation_seconds"]),
            f"{100 * row['test_accuracy']:.2f} %",
            f"{100 * row['connectivity']:.1f} %",
            "yes" if row["cores_used_by_others"] <= DISTURBED else "NO",
        ]
        for number_of, row in enumerate(watch.rows, 1)
    ]
    head = ["epoch", "seconds", "training", "evaluation", "accuracy", "connectivity", "quiet"]
    print(table(head, rows))
    timed = watch.rows[1:] or watch.rows
    median = statistics.median(row["seconds"] for row in timed)
    where = "the card and " if args.device == "cuda" else ""
    print(f"\nan epoch takes {median:.2f} s on {where}{args.threads} cores ({machine()['cpu']})")
    print(f"the authors' code, on an NVIDIA V100: {AUTHORS_SECONDS} s")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "machine": machine(),
            "device": args.device,
            "threads": args.threads,
            "snnr": snnr.__version__,
            "median_seconds": median,
            "authors_v100_seconds": AUTHORS_SECONDS,
            "epochs": watch.rows,
        }
        args.json.write_text(json.dumps(content, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
