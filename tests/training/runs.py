"""A small training that many tests run, and every bit of its state."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from snnr.data import Dataset

from snnr import nn, optim
from snnr.training import Callback, Trainer


def network() -> nn.Sequential:
    """Every kind of state: weights, running statistics, dropout, a pooled and a plain layer."""
    rng = np.random.default_rng(1)
    return nn.Sequential(
        nn.Conv2d(1, 5, 3, padding=1, bias=False, rng=rng),
        nn.BatchNorm2d(5),
        nn.LIF(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5, rng=2),
        nn.Linear(80, 4, rng=rng),
        nn.LIF(),
        T=3,
    )


def trainer(data: Dataset, checkpoint: Path | None = None, **settings: Any) -> Trainer:
    net = network()
    optimizer = optim.GradR(net.parameters(), lr=0.01, prior=0.3)
    chosen = {"batch_size": 32, "epochs": 3, "augment": "crop-flip", "seed": 5, **settings}
    return Trainer(net, optimizer, data, checkpoint=checkpoint, **chosen)


def state(run: Trainer) -> Iterator[bytes]:
    """Every bit that matters for going on."""
    for p in run.network.parameters():
        yield p.numpy().tobytes()
        held = run.optimizer.state[p]
        yield repr((held.steps, list(held.kept))).encode()
        yield from (held.numpy(name).tobytes() for name in held.kept)
    for layer in run.network.layers():
        yield from (array.numpy().tobytes() for array in layer.arrays().values())
    yield repr(run.state.rng.bit_generator.state).encode()
    yield repr(run.network[5].draws).encode()
    yield repr({k: v for k, v in run.history.items() if k != "seconds"}).encode()


class StopAt(Callback):
    """Presses Ctrl-C after so many steps, or during the evaluation that follows them."""

    def __init__(self, steps: int, testing: bool = False) -> None:
        self.left = steps
        self.testing = testing

    def step(self, trainer: Trainer) -> None:
        self.left -= 1
        if self.left == 0 and not self.testing:
            signal.raise_signal(signal.SIGINT)

    def evaluation(self, done: int, total: int) -> None:
        if self.testing and self.left <= 0:
            self.testing = False
            signal.raise_signal(signal.SIGINT)
