"""What a recorded step is given: samples, labels, somebody who watches, no gradients."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import snnr
from snnr import nn, optim
from snnr.input import Samples
from snnr.tensor import Tensor
from snnr.training import Trainer, step
from snnr.training.losses import loss_function

from ..opaque import NAME, register
from .test_recording import samples_of_ones_own
from .test_resume import everything

register()


def samples_of_events(device: str) -> Samples:
    rng = np.random.default_rng(0)
    spikes, labels = (rng.random((40, 3, 4)) < 0.5).astype(np.uint8), np.arange(40) % 4
    return Samples.of_events("events", spikes, labels, spikes, labels, device=device)


@pytest.mark.parametrize("samples", [samples_of_events, samples_of_ones_own])
def test_every_source_is_written_into_memory_that_stays(samples: Any) -> None:
    runs = []
    for device in ("reference", NAME):
        net = nn.Sequential(nn.Linear(4, 4, rng=0), nn.LIF(), T=3, device=device)
        runs.append(Trainer(net, optim.GradR(net.parameters(), lr=0.1), samples(device), 20, 2))
        runs[-1].fit()
    assert dict(everything(runs[0])) == dict(everything(runs[1]))
    recorder = runs[1]._step.recorder
    assert recorder is not None
    assert recorder.replays == runs[1].batches * 2 - 1


def batches() -> Iterator[tuple[Tensor, np.ndarray]]:
    rng = np.random.default_rng(0)
    batch = Tensor(rng.normal(size=(6, 5)).astype(np.float32), device=NAME)
    while True:
        yield batch, rng.integers(0, 3, 6)


def test_labels_without_an_output_are_refused_and_leave_the_recording() -> None:
    net = nn.Sequential(nn.Linear(5, 3, rng=0), nn.LIF(), T=2, device=NAME)
    taken = step.Step(net, optim.Adam(net.parameters()), loss_function("mse"), NAME)
    given = batches()
    for _ in range(3):
        assert taken.take(*next(given))
    with pytest.raises(snnr.ShapeError, match="one output per class"):
        taken.take(next(given)[0], np.array([0, 1, 2, 3, 0, 1]))
    with pytest.raises(snnr.ShapeError, match="-1"):
        taken.take(next(given)[0], np.array([0, 1, 2, -1, 0, 1]))
    for _ in range(3):
        assert taken.take(*next(given))
    assert taken.recorder is not None
    assert taken.recorder.replays == 5


def test_a_step_that_is_watched_is_no_replay() -> None:
    net = nn.Sequential(nn.Linear(5, 3, rng=0), nn.LIF(), T=2, device=NAME)
    taken = step.Step(net, optim.Adam(net.parameters()), loss_function("mse"), NAME)
    given, seen = batches(), []
    for _ in range(3):
        taken.take(*next(given))
    with net.observed(lambda name, x: seen.append(name)):
        taken.take(*next(given))
    assert seen == ["", "0_linear", "1_lif"]


def test_nothing_is_trained_from_a_recording_without_gradients() -> None:
    net = nn.Sequential(nn.Linear(5, 3, rng=0), nn.LIF(), T=2, device=NAME)
    taken = step.Step(net, optim.Adam(net.parameters()), loss_function("mse"), NAME)
    given = batches()
    for _ in range(3):
        taken.take(*next(given))
    with snnr.no_grad(), pytest.raises(snnr.TapeError):
        taken.take(*next(given))
