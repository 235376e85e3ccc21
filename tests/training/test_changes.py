"""Connections that come and go, as the history tells them."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from snnr.data import Dataset

from snnr import optim
from snnr.training import Callback, Trainer

from .runs import network, trainer


class Alive(Callback):
    """Which connections there are at the start of each epoch and at its end."""

    def __init__(self) -> None:
        self.masks: list[dict[str, np.ndarray]] = []

    def note(self, trainer: Trainer) -> None:
        weights = [p for p in trainer.network.parameters() if p.role == "weight"]
        self.masks.append({p.name.rpartition(".")[0]: p.numpy() != 0 for p in weights})

    def epoch(self, trainer: Trainer, row: Mapping[str, Any]) -> None:
        self.note(trainer)


def test_pruned_and_regrown_are_the_net_changes_of_an_epoch(tiny: Dataset) -> None:
    seen = Alive()
    run = trainer(tiny, callbacks=[seen], epochs=6)
    run.optimizer.lr = 0.05  # so that connections flicker
    seen.note(run)
    history = run.fit()
    flickered = run.optimizer.take_changes()
    for name in ("0_conv2d", "6_linear"):
        pairs = list(pairwise(masks[name] for masks in seen.masks))
        assert history["pruned"][name] == [int((a & ~b).sum()) for a, b in pairs]
        assert history["regrown"][name] == [int((b & ~a).sum()) for a, b in pairs]
        assert 0 < sum(history["regrown"][name]) < flickered[f"{name}.weight"][1]


def test_changes_by_hand_between_two_epochs_belong_to_the_next_one(tiny: Dataset) -> None:
    class Cut(Callback):
        def epoch(self, trainer: Trainer, row: Mapping[str, Any]) -> None:
            if row["epoch"] == 1:
                trainer.network[6].weight.data[0] = 0

    net = network()
    run = Trainer(net, optim.Adam(net.parameters()[:1]), tiny, 32, 2, callbacks=[Cut()])
    history = run.fit()
    assert history["pruned"]["6_linear"] == [0, 80]
    assert history["layer_connectivity"]["6_linear"] == [1.0, 0.75]
