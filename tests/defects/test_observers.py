"""Observers: as many as one likes, each for its block and its context alone."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from snnr.data import Dataset

from snnr import nn, optim
from snnr.tensor import Tensor
from snnr.training import Callback, Trainer

WAIT = 20.0
NAMES = ["", "0_flatten", "1_linear", "2_lif"]


def network(device: str = "reference") -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 4, rng=0), nn.LIF(), T=3, device=device)


def images(count: int = 5) -> np.ndarray:
    return 3 * np.random.default_rng(0).normal(size=(count, 1, 8, 8)).astype(np.float32)


def into(names: list[str]) -> Callable[[str, Tensor], None]:
    return lambda name, x: names.append(name)


def test_an_observer_sees_the_input_and_every_output() -> None:
    net, seen = network(), {}

    def look(name: str, x: Tensor) -> None:
        seen[name] = x.numpy().copy()

    with net.observed(look):
        out = net(images())
    assert list(seen) == NAMES
    np.testing.assert_array_equal(seen[""], images())
    np.testing.assert_array_equal(seen["2_lif"], out.numpy())
    np.testing.assert_array_equal(seen["0_flatten"], images().reshape(5, 64))


def test_observers_nest_and_end() -> None:
    net, outer, inner = network(), [], []
    with net.observed(into(outer)):
        with net.observed(into(inner)):
            net(images())
        net(images())
    net(images())
    assert outer == NAMES * 2
    assert inner == NAMES


def test_an_observer_ends_with_an_exception() -> None:
    net, outer, inner = network(), [], []
    with net.observed(into(outer)):
        with pytest.raises(KeyError), net.observed(into(inner)):
            raise KeyError
        net(images())
    assert (outer, inner) == (NAMES, [])


def test_an_observer_is_no_matter_of_other_networks() -> None:
    net, other, seen = network(), network(), []
    with net.observed(into(seen)):
        other(images())
    assert seen == []


def test_an_observer_is_no_matter_of_other_threads() -> None:
    net, here, there = network(), [], []
    observed = net.observed
    opened, done = threading.Event(), threading.Event()

    def task() -> None:
        with observed(into(there)):
            opened.set()
            assert done.wait(WAIT)
            net(images())

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(task)
        try:
            assert opened.wait(WAIT)
            net(images())
            assert there == []
            with observed(into(here)):
                net(images())
        finally:
            done.set()
            running.result(WAIT)
    assert here == NAMES
    assert there == NAMES


def test_inner_layers_are_seen_by_their_path() -> None:
    net = nn.Sequential(
        nn.Flatten(), nn.Sequential(nn.Linear(64, 4, rng=0), nn.LIF()), T=2, device="reference"
    )
    seen: list[str] = []
    with net.observed(into(seen)):
        net(images())
    assert {"", "0_flatten", "1_sequential.0_linear", "1_sequential.1_lif"} <= set(seen)
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_observing_changes_no_number(device: str) -> None:
    def outputs(observer: Any) -> list[np.ndarray]:
        net = nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1, rng=0), nn.BatchNorm2d(3), nn.LIF(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Dropout(0.5, rng=1), nn.Linear(48, 5, rng=2), nn.LIF(), T=3,
            device=device,
        )  # fmt: skip
        x = Tensor(images(), True, device=device)
        if observer is None:
            out = net(x)
        else:
            with net.observed(observer):
                out = net(x)
        out.backward(np.ones(out.shape, np.float32))
        return [out.numpy(), x.grad, *(p.grad for p in net.parameters())]

    seen: list[str] = []
    for watched, alone in zip(outputs(into(seen)), outputs(None), strict=True):
        np.testing.assert_array_equal(watched, alone)
    assert seen[-1] == "7_lif"


def test_counting_spikes_goes_on_inside_an_observation(tiny: Dataset) -> None:
    """An evaluation counts; who looks on meanwhile neither disturbs it nor misses anything."""
    histories, seen = [], []
    for watched in (False, True):
        net = network()
        run = Trainer(net, optim.Adam(net.parameters(), lr=0.05), tiny, 100, 2)
        if watched:
            with net.observed(into(seen)), net.observed(lambda name, x: None):
                histories.append(run.fit())
        else:
            histories.append(run.fit())
    assert 0 < histories[0]["firing_rate"]["2_lif"][-1] < 1
    for column in ("firing_rate", "silent", "test_loss", "train_loss"):
        assert histories[0][column] == histories[1][column]
    assert set(seen) == set(NAMES)
    # two epochs of two steps and at least one batch of test images
    assert len(seen) >= len(NAMES) * 6


def test_the_users_observer_survives_training(tiny: Dataset) -> None:
    class Look(Callback):
        def evaluation(self, done: int, total: int) -> None:
            seen.append("evaluated")

    net, seen = network(), []
    optimizer = optim.Adam(net.parameters())
    run = Trainer(net, optimizer, tiny, 100, 1, callbacks=[Look()])
    with net.observed(into(seen)):
        run.fit()
        seen.clear()
        net(images())
    assert seen == NAMES
