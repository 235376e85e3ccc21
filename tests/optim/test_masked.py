"""What holds for every method that keeps no mask: backends, devices, files."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import snnr
from snnr import models, nn, optim
from snnr.optim.masked import Masked

from ..opaque import NAME, register
from .rules import gradient, weights

register()
METHODS = [name for name, kind in optim.METHODS.items() if issubclass(kind, Masked)]
STEPS = 20
EVERY = pytest.mark.parametrize("method", METHODS)


def begun(method: str, params: Any, **settings: Any) -> Any:
    kind: Any = optim.METHODS[method]
    often = {"target_connectivity": 0.3, "every": 3, "lr": 0.02, "rounds": 2, **settings}
    known = kind.setting_names()
    optimizer = kind(params, **{name: value for name, value in often.items() if name in known})
    optimizer.begin(None, STEPS)
    return optimizer


def steps(optimizer: Any, first: int = 0, last: int = STEPS) -> None:
    for seed in range(first, last):
        for p in optimizer.params:
            values = p.layout.to_memory(gradient(p, seed))
            p.grad_memory = p.backend.copy_in(np.ascontiguousarray(values))
        optimizer.step()


def bits(optimizer: Any) -> list[bytes]:
    held = [s.numpy(name).tobytes() for s in optimizer.state.values() for name in s.kept]
    return [*held, *(p.numpy().tobytes() for p in optimizer.params)]


def network(seed: int = 1) -> nn.Sequential:
    return models.csnn(T=2, input_shape=(1, 8, 8), classes=4, channels=3, hidden=9, seed=seed)


@EVERY
def test_memory_that_is_no_array(method: str) -> None:
    runs = [begun(method, weights(device=device)) for device in ("reference", NAME)]
    for run in runs:
        steps(run)
    assert bits(runs[0]) == bits(runs[1])
    assert runs[0].take_changes() == runs[1].take_changes()
    assert runs[0].connectivity() == runs[1].connectivity() == 153 / 510


@EVERY
def test_the_cpu_chooses_as_the_oracle(method: str) -> None:
    runs = [begun(method, weights(device=device)) for device in ("reference", "cpu")]
    for run in runs:
        steps(run)
    for p, q in zip(*(run.params for run in runs), strict=True):
        np.testing.assert_array_equal(p.numpy() != 0, q.numpy() != 0)
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-4, atol=1e-6)


@EVERY
def test_a_network_that_moves_between_devices(method: str) -> None:
    stayed, moved = (begun(method, weights()) for _ in range(2))
    steps(stayed)
    for seed, device in enumerate(["cpu", "reference", NAME, "reference"] * 5):
        for p in moved.params:
            p.to(device)
        steps(moved, seed, seed + 1)
    for p, q in zip(stayed.params, moved.params, strict=True):
        np.testing.assert_array_equal(p.numpy() != 0, q.numpy() != 0)
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-4, atol=1e-6)


@EVERY
@pytest.mark.parametrize("stop", [0, 1, 7, 8, 14])
def test_saved_and_loaded_it_goes_on_with_the_same_bits(
    method: str, stop: int, tmp_path: Path
) -> None:
    net = network()
    optimizer = begun(method, net.parameters())
    steps(optimizer, 0, stop)
    path = snnr.save(tmp_path / "c.h5", net, optimizer)
    found = snnr.load(path)
    again: Any = found.optimizer
    assert bits(again) == bits(optimizer)
    again.begin(found.network, STEPS)
    for one in (optimizer, again):
        steps(one, stop)
    assert bits(again) == bits(optimizer)
    weights = sum(p.size for p in optimizer.counts)
    assert optimizer.connectivity() == round(0.3 * weights) / weights


@EVERY
def test_what_was_set_by_hand_is_saved_as_it_is(method: str, tmp_path: Path) -> None:
    """More connections than the target, and moments that are left where none is."""
    net = network()
    optimizer = begun(method, net.parameters())
    steps(optimizer, 0, 4)
    first, second = (p for p in net.parameters() if p.role == "weight" and p.size > 100)
    first.assign(np.ones(first.shape))
    second.assign(np.zeros(second.shape))
    found = snnr.load(snnr.save(tmp_path / "c.h5", net, optimizer))
    for p, q in zip(net.parameters(), found.network.parameters(), strict=True):
        assert p.numpy().tobytes() == q.numpy().tobytes()
    assert not optimizer.state[second].numpy("exp_avg").any()
    assert optimizer.state[first].numpy("exp_avg_sq").any()


@EVERY
@pytest.mark.parametrize("name", ["exp_avg", "exp_avg_sq"])
def test_moments_without_a_connection_are_not_loaded(
    method: str, name: str, tmp_path: Path
) -> None:
    net = network()
    optimizer = begun(method, net.parameters())
    steps(optimizer)
    path = snnr.save(tmp_path / "c.h5", net, optimizer)
    weight = next(p for p in net.parameters() if p.role == "weight")
    place = tuple(int(i[0]) for i in np.nonzero(weight.numpy() == 0))
    layer = weight.name.rpartition(".")[0]
    with h5py.File(path, "r+") as file:
        file[f"optimizer/{layer}/weight/{name}"][place] = 0.5
    told = f"contradicts the weight {weight.name}: {name} must be 0 where there is no connection"
    with pytest.raises(snnr.CheckpointError, match=told):
        snnr.load(path)


@EVERY
@pytest.mark.parametrize("value", [0.0, 1.5, -1.0])
def test_a_target_that_makes_no_sense_is_not_loaded(
    method: str, value: float, tmp_path: Path
) -> None:
    net = network()
    path = snnr.save(tmp_path / "c.h5", net, begun(method, net.parameters()))
    with h5py.File(path, "r+") as file:
        file["optimizer"].attrs["target_connectivity"] = value
    with pytest.raises(snnr.CheckpointError, match="settings that make no sense: target_connect"):
        snnr.load(path)
