"""A few training steps of small, odd networks: every kind of layer, step and update once.

    python benchmarks/exercise.py --device cuda
    compute-sanitizer --tool memcheck --error-exitcode 9 python benchmarks/exercise.py --device cuda

Little work, so that it can be run under compute-sanitizer, or with ``--tiny`` in Numba's simulator.
The loss of each training is compared with the one on the CPU.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

import snnr
from snnr import nn
from snnr.activity import ActivityCounter
from snnr.input import Samples


class Sizes(NamedTuple):
    """How small: images, their height and width, channels, hidden neurons, steps, batch."""

    images: int
    height: int
    width: int
    channels: int
    hidden: int
    steps: int
    batch: int


USUAL = Sizes(images=70, height=14, width=11, channels=19, hidden=67, steps=5, batch=13)
TINY = Sizes(images=8, height=5, width=4, channels=2, hidden=5, steps=2, batch=2)
CLASSES = 3
#: firing rate that every layer gets at least
FIRES = 0.3
#: how far a training's mean loss may be from the CPU's: one spike that moves is 1/(batch * T)
APART = 0.02


def images(path: Path, sizes: Sizes) -> snnr.data.Dataset:
    """Colour images in classes, easy to tell apart."""
    rng = np.random.default_rng(3)
    shape = (3, sizes.height, sizes.width)
    patterns = rng.integers(0, 256, (CLASSES, *shape))
    arrays = {}
    for split in ("train", "test"):
        labels = rng.integers(0, CLASSES, sizes.images)
        noisy = patterns[labels] + rng.integers(-50, 51, (sizes.images, *shape))
        arrays[f"x_{split}"] = np.clip(noisy, 0, 255).astype(np.uint8)
        arrays[f"y_{split}"] = labels
    np.savez(path, **arrays)
    return snnr.data.load(path)


def convolutional(sizes: Sizes, device: str) -> nn.Sequential:
    """Convolutions with and without pooling behind them, dropout, voting."""
    rng = np.random.default_rng(1)
    features = sizes.channels * (sizes.height // 2) * (sizes.width // 2)
    return nn.Sequential(
        nn.Conv2d(3, sizes.channels, 3, padding=1, bias=False, rng=rng),
        nn.BatchNorm2d(sizes.channels),
        nn.LIF(),
        nn.Conv2d(sizes.channels, sizes.channels, 3, padding=1, bias=False, rng=rng),
        nn.BatchNorm2d(sizes.channels),
        nn.LIF(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5, rng=np.random.default_rng(2)),
        nn.Linear(features, sizes.hidden, bias=False, rng=rng),
        nn.LIF(),
        nn.Linear(sizes.hidden, 2 * CLASSES, bias=False, rng=rng),
        nn.LIF(),
        nn.Voting(2),
        T=sizes.steps,
        device=device,
    )


def connected(sizes: Sizes, device: str) -> nn.Sequential:
    """Two linear layers."""
    return snnr.models.mnist_fc(
        sizes.steps, 0, device, (3, sizes.height, sizes.width), CLASSES, sizes.hidden
    )


NETWORKS = {"convolutional": convolutional, "connected": connected}
#: network, optimizer's settings, loss, moves of the images
TRAININGS = [
    ("convolutional", {"prior": 1e-3}, "mse", "crop-flip"),
    ("convolutional", {}, "cross-entropy", False),
    ("connected", {"prior": 1e-3}, "mse", "affine"),
    ("connected", {"prior": 5e-2, "form": "sgd"}, "cross-entropy", False),
]


def waken(network: nn.Sequential, batch: snnr.Tensor) -> None:
    """Raise currents, layer by layer, until every layer fires: as they are drawn, so small
    networks stay silent."""
    for index, layer in enumerate(network):
        if not isinstance(layer, nn.LIF):
            continue
        before = network[index - 1]
        for _ in range(40):
            counter = ActivityCounter(network)
            with snnr.no_grad(), counter.watching():
                network(batch)
            if counter.result().neurons[layer.name].firing_rate > FIRES:
                break
            for parameter in before.parameters():
                change = 0.2 if parameter.role == "shift" else 0.4 * parameter.numpy()
                parameter.assign(parameter.numpy() + change)


def train(number: int, sizes: Sizes, device: str, folder: Path) -> float:
    """Mean loss of a training's last epoch.

    Raises
    ------
    RuntimeError : a layer never fired, so that nothing was tried out.
    """
    name, settings, loss, moves = TRAININGS[number]
    dataset = images(folder / "images.npz", sizes)
    network = NETWORKS[name](sizes, "cpu")
    waken(network, Samples.of(dataset).train.batch(np.arange(sizes.batch)))
    network.to(device)
    parameters = network.parameters()
    optimizer: snnr.optim.Optimizer
    if settings:
        optimizer = snnr.optim.GradR(parameters, lr=1e-4, **settings)
    else:
        optimizer = snnr.optim.Adam(parameters, lr=1e-4)
    trainer = snnr.Trainer(
        network,
        optimizer,
        dataset,
        sizes.batch,
        epochs=2,
        loss=loss,
        augment=moves,
    )
    history = trainer.fit()
    silent = [layer for layer, rates in history["firing_rate"].items() if not rates[-1]]
    if silent:
        raise RuntimeError(f"{name}: {', '.join(silent)} never fired: make the currents larger")
    return float(history["train_loss"][-1])


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="as small as the simulator asks for")
    parser.add_argument("--only", type=int, action="append", help="training by its number")
    args = parser.parse_args()
    sizes = TINY if args.tiny else USUAL
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for number in args.only or range(len(TRAININGS)):
            mine = train(number, sizes, args.device, Path(folder))
            right = train(number, sizes, "cpu", Path(folder))
            wrong = not (math.isfinite(mine) and abs(mine - right) <= APART * max(right, 1e-9))
            failed |= wrong
            kind = ", ".join(str(part) for part in TRAININGS[number] if part)
            print(f"{kind}: loss {mine:.6f}, on the CPU {right:.6f}{' WRONG' if wrong else ''}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
