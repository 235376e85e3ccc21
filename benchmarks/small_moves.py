"""MNIST with images that move less than the paper's: how accurate a few connections get.

    python benchmarks/small_moves.py --method magnitude --target 0.0225 --epochs 200 --json FILE

The paper turns digits by up to 30 degrees and shifts them by 15 %, which a network of 2 % of the
connections cannot learn; without moves it learns the training images by heart. Here they turn by
up to `--degrees`, shift by up to `--translate` of their size and scale as the paper's do, by less.
784-800-10, T=8, batch 128.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from report import machine

import snnr
from snnr.input import Images, Samples
from snnr.kernels.threads import set_threads


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--method", default="magnitude", choices=list(snnr.optim.METHODS))
    add("--target", type=float, help="target connectivity")
    add("--epochs", type=int, default=200)
    add("--lr", type=float, default=1e-3)
    add("--loss", default="mse")
    add("--degrees", type=float, default=10.0)
    add("--translate", type=float, default=0.07)
    add("--scale", type=float, nargs=2, default=(0.93, 1.07))
    add("--schedule", default="cosine")
    add("--seed", type=int, default=0)
    add("--threads", type=int)
    add("--json", type=Path, required=True)
    args = parser.parse_args()
    if args.threads:
        set_threads(args.threads)
    data = snnr.data.load("mnist")
    moved = Images(
        data.x_train, data.mean, data.std, "affine",
        degrees=args.degrees, translate=args.translate, scale=tuple(args.scale),
    )  # fmt: skip
    still = Images(data.x_test, data.mean, data.std)
    samples = Samples("mnist", moved, data.y_train, still, data.y_test, data.classes)
    network = snnr.models.mnist_fc(seed=args.seed)
    kind = snnr.optim.METHODS[args.method]
    chosen = {"lr": args.lr}
    if args.target is not None:
        chosen["target_connectivity"] = args.target
    if args.method not in ("dense", "magnitude", "imp"):
        chosen["rng"] = args.seed
    trainer = snnr.Trainer(
        network, kind(network.parameters(), **chosen), samples, batch_size=128,
        epochs=args.epochs, loss=args.loss, seed=args.seed, schedule=args.schedule,
        checkpoint=args.json.with_suffix(".h5"),
    )  # fmt: skip
    history = trainer.fit()
    settings = {k: v for k, v in vars(args).items() if k not in ("json", "threads")}
    told = {
        "machine": machine(),
        "settings": settings,
        "accuracy": history["test_accuracy"][-1],
        "connectivity": history["connectivity"][-1],
        "test_accuracy": history["test_accuracy"],
        "epoch_connectivity": history["connectivity"],
        "seconds": sum(history["seconds"]),
    }
    args.json.write_text(json.dumps(told, indent=1) + "\n")
    print(f"{100 * told['accuracy']:.2f} % at {100 * told['connectivity']:.2f} %")


if __name__ == "__main__":
    main()
