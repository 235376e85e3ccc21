"""Between the backward pass and the update; what an optimizer is told."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from snnr.data import Dataset

import snnr
from snnr import optim
from snnr.training import Callback, Trainer

from .runs import StopAt, network, state, trainer


class Seam(Callback):
    """Does something to the gradients, and takes down what is called when."""

    def __init__(self, change: Callable[[Trainer], None] = lambda trainer: None) -> None:
        self.change = change
        self.calls: list[tuple[str, int]] = []

    def gradients(self, trainer: Trainer) -> None:
        assert all(p.grad is not None for p in trainer.network.parameters())
        self.calls.append(("gradients", trainer.optimizer.step_count))
        self.change(trainer)

    def step(self, trainer: Trainer) -> None:
        self.calls.append(("step", trainer.optimizer.step_count))


def test_looking_at_gradients_changes_nothing(tiny: Dataset, uninterrupted: list[bytes]) -> None:
    seam = Seam()
    run = trainer(tiny, callbacks=[seam])
    run.fit()
    assert list(state(run)) == uninterrupted
    assert seam.calls == [
        call for step in range(18) for call in (("gradients", step), ("step", step + 1))
    ]


def test_the_update_takes_the_gradients_of_the_seam(tiny: Dataset) -> None:
    def forget(trainer: Trainer) -> None:
        for p in trainer.network.parameters():
            p.grad = np.zeros(p.shape, np.float32)

    net = network()
    before = [p.numpy().copy() for p in net.parameters()]
    Trainer(net, optim.Adam(net.parameters()), tiny, 32, 1, callbacks=[Seam(forget)]).fit()
    for p, old in zip(net.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.numpy(), old)


def test_what_the_seam_breaks_stops_before_the_update(tiny: Dataset) -> None:
    def poison(trainer: Trainer) -> None:
        if trainer.position == 3:
            gradient = trainer.network[6].weight.grad
            gradient[1, 2] = np.inf

    run = trainer(tiny, callbacks=[Seam(poison)])
    name = r"the gradient of 6_linear\.weight is not finite"
    with pytest.raises(snnr.DivergedError, match=rf"step 4 \(epoch 1\): {name}"):
        run.fit()
    assert (run.position, run.optimizer.step_count) == (3, 3)
    stopped = trainer(tiny, callbacks=[StopAt(3)])
    with pytest.raises(snnr.Interrupted):
        stopped.fit()
    for p, q in zip(run.network.parameters(), stopped.network.parameters(), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())


def test_the_optimizer_is_told_how_long_the_training_is(tiny: Dataset) -> None:
    told: list[tuple[Any, int, int]] = []

    class Scheduled(optim.Adam):
        def begin(self, network: Any, steps: int) -> None:
            told.append((network, steps, self.step_count))

    net = network()
    run = Trainer(net, Scheduled(net.parameters()), tiny, 32, 3, callbacks=[StopAt(4)])
    with pytest.raises(snnr.Interrupted):
        run.fit()
    run.fit()
    assert told == [(net, 18, 0), (net, 18, 4)]
