"""Bit-exact resume as a property: whatever method, network, moves and device, wherever it stops."""

import inspect
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from snnr.data import Dataset

from snnr import nn
from snnr.errors import Interrupted
from snnr.optim import METHODS
from snnr.training import Trainer

from .runs import StopAt

BATCH, EPOCHS = 50, 2  # 4 steps per epoch


def dense(rng: np.random.Generator) -> list[nn.Layer]:
    return [nn.Flatten(), nn.Linear(64, 8, rng=rng), nn.LIF(), nn.Linear(8, 4, rng=rng), nn.IF()]


def dropped(rng: np.random.Generator) -> list[nn.Layer]:
    return [
        nn.Flatten(), nn.Dropout(0.3, rng=rng), nn.Linear(64, 8, rng=rng), nn.BatchNorm1d(8),
        nn.LIF(), nn.Sequential(nn.Dropout(0.5, rng=rng), nn.Linear(8, 8, rng=rng)),
        nn.LIF(v_reset=None), nn.Voting(2),
    ]  # fmt: skip


def convolved(rng: np.random.Generator) -> list[nn.Layer]:
    return [
        nn.Conv2d(1, 3, 3, padding=1, rng=rng), nn.BatchNorm2d(3), nn.LIF(), nn.MaxPool2d(2),
        nn.Conv2d(3, 4, 3, stride=2, bias=False, rng=rng), nn.LIF(surrogate="sigmoid"),
        nn.AvgPool2d(1), nn.Flatten(), nn.Dropout(0.2, rng=rng), nn.Linear(4, 4, rng=rng), nn.IF(),
    ]  # fmt: skip


NETWORKS = {"dense": dense, "dropped": dropped, "convolved": convolved}
MOVES = (False, "affine", "crop-flip")


def begun(data: Dataset, case: dict[str, Any], path: Path | None) -> Trainer:
    rng = np.random.default_rng(case["seed"])
    net = nn.Sequential(*NETWORKS[case["network"]](rng), T=2, device=case["device"])
    kind = METHODS[case["method"]]
    # eight steps in all: what is done now and then is done in some of them
    often = {"prior": 0.3, "target_connectivity": 0.3, "every": 2}
    known = kind.setting_names()
    settings = {"lr": 0.02, **{name: value for name, value in often.items() if name in known}}
    if "rng" in inspect.signature(kind).parameters:
        settings["rng"] = case["seed"]  # not the one that a file is read with
    return Trainer(
        net, kind(net.parameters(), **settings), data, BATCH, EPOCHS, loss=case["loss"],
        augment=case["augment"], seed=case["seed"], checkpoint=path,
    )  # fmt: skip


def everything(run: Trainer) -> Iterator[tuple[str, Any]]:
    """Every bit that matters for going on, by name."""
    for layer in run.network.layers():
        for name, array in layer.arrays().items():
            yield f"{layer.name}.{name}", array.numpy().tobytes()
        if isinstance(layer, nn.Dropout):
            yield f"{layer.name} draws", (layer.draws.key, layer.draws.counter)
    for p, held in run.optimizer.state.items():
        yield f"steps of {p.name}", held.steps
        for name in held.kept:
            yield f"{name} of {p.name}", held.numpy(name).tobytes()
    if run.optimizer.rng is not None:
        yield "noise", repr(run.optimizer.rng.bit_generator.state)
    yield "order", repr(run.state.rng.bit_generator.state)
    yield "history", {k: v for k, v in run.history.items() if k != "seconds"}


def cases() -> Iterator[Any]:
    """Every method with every network and kind of moves, the rest drawn; the device that is slow
    now and then."""
    for number, (method, network, augment) in enumerate(product(METHODS, NETWORKS, MOVES)):
        rng = np.random.default_rng((4, number))
        case = {
            "method": method, "network": network, "augment": augment, "seed": number,
            "device": "reference" if number % 4 == 3 else "cpu",
            "loss": str(rng.choice(["mse", "cross-entropy"])),
            "stops": [int(n) for n in rng.integers(1, 8, size=int(rng.integers(1, 3)))],
            "testing": bool(rng.random() < 0.3),
        }  # fmt: skip
        told = f"{method}-{network}-{augment}-{case['device']}-{case['stops']}"
        yield pytest.param(case, id=told)


@pytest.mark.parametrize("case", list(cases()))
def test_going_on_gives_the_bits_of_never_having_stopped(
    tiny: Dataset, tmp_path: Path, case: dict[str, Any]
) -> None:
    whole = begun(tiny, case, None)
    whole.fit()
    path = tmp_path / "c.h5"
    run = begun(tiny, case, path)
    stopped = 0
    for steps in case["stops"]:
        run.callbacks.append(StopAt(steps, case["testing"]))
        try:
            run.fit()
        except Interrupted:
            stopped += 1
        run = Trainer.resume(path, tiny, device=case["device"])
    run.fit()
    assert stopped >= 1
    assert run.network.device == case["device"]
    assert dict(everything(run)) == dict(everything(whole))
