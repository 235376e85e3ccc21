"""A network that dies is noticed and told, with what to try."""

from typing import Any

import numpy as np
import pytest
from snnr.data import Dataset

from snnr import nn, optim
from snnr.training import Callback, Trainer
from snnr.training.health import ailments

from .runs import trainer


class Heard(Callback):
    def __init__(self) -> None:
        self.told: list[tuple[int, str]] = []

    def warning(self, trainer: Trainer, text: str) -> None:
        self.told.append((trainer.epoch, text))


def network(gain: float = 1.0) -> nn.Sequential:
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 16, rng=0), nn.LIF(), nn.Linear(16, 4, rng=1), nn.LIF(), T=2
    )
    for p in net.parameters()[:2]:
        p.assign(p.numpy() * np.float32(gain))
    return net


def test_a_network_that_is_pruned_away_says_so_once(tiny: Dataset) -> None:
    net, heard = network(), Heard()
    optimizer = optim.GradR(net.parameters(), lr=0.05, prior=3.0)
    run = Trainer(net, optimizer, tiny, 40, 3, callbacks=[heard])
    run.fit()
    (epoch, text), *more = heard.told
    assert not more
    assert text == run.warnings[0]
    assert run.history["connectivity"][epoch - 1] == 0
    assert text.startswith("1_linear and 3_linear have no connection left")
    assert "lower prior (=3), lower sparsity (=0.95)" in text


def test_a_silent_layer_is_the_first_one(tiny: Dataset) -> None:
    net, heard = network(gain=1e-6), Heard()
    run = Trainer(net, optim.Adam(net.parameters(), lr=0), tiny, 40, 2, callbacks=[heard])
    run.fit()
    ((epoch, text),) = heard.told
    assert epoch == 1
    assert text.startswith("2_lif does not fire on any test image")
    assert "another lr (=0)" in text
    assert "prior" not in text


def test_guesses_are_told_once(tiny: Dataset) -> None:
    heard = Heard()
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 4, rng=0), nn.LIF(), T=2)
    net.parameters()[0].assign(np.ones((4, 64), np.float32))
    run = Trainer(net, optim.Adam(net.parameters(), lr=0), tiny, 40, 4, callbacks=[heard])
    run.fit()
    assert run.history["test_accuracy"][-1] <= 0.35
    ((epoch, text),) = heard.told
    assert epoch == 2
    assert text.startswith("the accuracy is that of guessing among 4 classes; try: another lr (=0)")


def test_what_to_try_follows_from_the_settings() -> None:
    dead = row(layer_connectivity={"0_linear": 0.0})
    (text,) = ailments(dead, 10, 1000, {"prior": 0.5, "sparsity": 0.9, "schedule": "cosine"})
    assert text.endswith("try: lower prior (=0.5), lower sparsity (=0.9), fewer epochs")
    steered = {"prior": 0.5, "target_connectivity": 0.01, "schedule": "cosine"}
    (text,) = ailments(dead, 10, 1000, steered)
    assert "try: a higher target_connectivity (=0.01), schedule constant, " in text
    (text,) = ailments(dead, 10, 1000, {**steered, "schedule": "constant"})
    assert "schedule" not in text


def test_a_network_that_recovers_has_nothing_left_to_say(tiny: Dataset) -> None:
    heard = Heard()
    run = trainer(tiny, callbacks=[heard], augment=False, epochs=4)
    assert run.warnings == []
    run.fit()
    assert run.history["test_accuracy"][-1] > 0.4
    ((epoch, text),) = heard.told  # too early to fire
    assert (epoch, text[:5]) == (1, "7_lif")
    assert run.warnings == []


def row(**changed: Any) -> dict[str, Any]:
    sound = {
        "layer_connectivity": {"0_linear": 0.5}, "firing_rate": {"1_lif": 0.1},
        "silent": {"1_lif": 0.5}, "test_accuracy": 0.8,
    }  # fmt: skip
    return sound | changed


@pytest.mark.parametrize(
    ("changed", "begins"),
    [
        ({}, None),
        ({"test_accuracy": 0.1}, "most of 1_lif never fire and the accuracy is that of guessing"),
        ({"test_accuracy": 0.1, "epoch": 1}, "most of 1_lif never fire"),
        ({"test_accuracy": 0.118, "silent": {"1_lif": 0.4}}, "the accuracy is that of guessing"),
        ({"test_accuracy": 0.12, "silent": {"1_lif": 0.4}}, None),
        # a first epoch may be too short
        ({"test_accuracy": 0.1, "silent": {"1_lif": 0.4}, "epoch": 1}, None),
        ({"test_accuracy": 0.1, "silent": {"1_lif": 0.4}, "epoch": 2}, "the accuracy is that of"),
        ({"firing_rate": {"1_lif": 0}}, "1_lif, the output, does not fire on any test image"),
        ({"firing_rate": {"1_lif": 0, "2_lif": 0.1}}, "1_lif does not fire on any test image"),
        ({"layer_connectivity": {"0_linear": 0.0}, "firing_rate": {"1_lif": 0}}, "0_linear has no"),
        ({"firing_rate": {}, "silent": {}, "test_accuracy": 0.0}, None),
    ],
)
def test_what_counts_as_dead(changed: dict[str, Any], begins: str | None) -> None:
    found = ailments(row(**changed), 10, 1000, {"lr": 0.1, "prior": 0.0})
    if begins is None:
        assert found == []
    else:
        (text,) = found
        assert text.startswith(begins)
        assert "prior" not in text
