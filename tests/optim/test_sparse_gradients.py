"""Trainings that make the gradients of connections alone are those that make all of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from snnr.data import Dataset

import snnr
from snnr import functional as F
from snnr import kernels, optim
from snnr.kernels import Packed
from snnr.optim.masked import Masked
from snnr.tensor import Parameter, Tensor
from snnr.training import Callback, Trainer

from ..opaque import NAME, register
from ..training.runs import network, state

register()
BOTH = pytest.mark.parametrize("kind", [optim.SET, optim.RigL])
ALL = pytest.mark.parametrize("kind", [optim.SET, optim.RigL, optim.DeepR])
T, LABELS = 3, np.array([0, 1, 2, 3, 0, 1])


class Net:
    """A convolution, a stride, and a dense layer behind a dropout, in any float."""

    def __init__(self, dtype: Any = np.float64, device: str = "cpu", seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        shapes = [(16, 2, 3, 3), (40, 16, 3, 3), (50, 360), (4, 50)]
        self.weights = [
            Parameter(
                (rng.normal(size=s) * 9 / np.sqrt(np.prod(s[1:]))).astype(dtype), f"{i}", "weight",
                device=device,
            )
            for i, s in enumerate(shapes)
        ]  # fmt: skip
        self.x = Tensor(rng.normal(size=(6, 2, 12, 12)).astype(dtype) + 1, device=device)
        self.mask = Tensor(rng.integers(0, 2, (6, 360), np.uint8), device=device)

    def loss(self) -> Tensor:
        first, second, third, last = self.weights
        x = F.spiking(F.conv2d(self.x, first, padding=1), F.lif_neuron(), T=T)
        x = F.max_pool2d(x, 2)
        x = F.spiking(F.conv2d(x, second, stride=2, padding=1), F.lif_neuron())
        x = F.linear(F.flatten(x), third, mask=self.mask, factor=2.0)
        x = F.linear(F.spiking(x, F.lif_neuron()), last)
        return F.label_mse_loss(F.mean_time(F.spiking(x, F.lif_neuron())), LABELS)


def optimizer(kind: type[Masked], net: Net, few: bool = True, **settings: Any) -> Masked:
    given = {"lr": 0.01, "target_connectivity": 0.12, "distribution": "uniform"}
    if kind is not optim.DeepR:
        given["every"] = 4
    made = kind(net.weights, **{**given, **settings}, rng=3)  # type: ignore[arg-type]
    made.sparse = few  # type: ignore[misc]
    return made


def train(
    net: Net, one: optim.Optimizer, steps: int, seam: Callable[[], None] | None = None
) -> list[float]:
    losses = []
    for _ in range(steps):
        one.zero_grad()
        loss = net.loss()
        loss.backward()
        if seam is not None:
            seam()
        one.step()
        losses.append(loss.item())
    return losses


@ALL
@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_the_same_training(kind: type[Masked], device: str) -> None:
    found = []
    for few in (True, False):
        net = Net(device=device)
        one = optimizer(kind, net, few)
        one.begin(None, 30)
        losses = train(net, one, 30)
        found.append((losses, [p.numpy().copy() for p in net.weights], one.take_changes()))
    assert found[0][0][0] != found[0][0][-1]
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-10)
    for few_, all_ in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_array_equal(few_ == 0, all_ == 0)
        np.testing.assert_allclose(few_, all_, rtol=0, atol=1e-9)
    assert found[0][2] == found[1][2]
    assert sum(grown for _, grown in found[0][2].values()) > 100


def gradients(net: Net) -> list[np.ndarray]:
    return [p.grad_numpy().copy() for p in net.weights]  # type: ignore[union-attr]


@ALL
@pytest.mark.parametrize("device", ["cpu", "reference", NAME])
def test_who_looks_sees_the_gradients_of_connections(kind: type[Masked], device: str) -> None:
    """Of public shape and 0 elsewhere, but in steps that look at all of them."""
    net = Net(np.float32, device)
    one = optimizer(kind, net)
    one.begin(None, 30)
    for step in range(1, 14):
        one.zero_grad()
        net.loss().backward()
        one.narrow()
        everywhere = kind is optim.RigL and step % 4 == 0
        there = [p.numpy() != 0 for p in net.weights]
        told = gradients(net)
        assert sum(gradient.any() for gradient in told) >= 3
        for p, connected, gradient in zip(net.weights, there, told, strict=True):
            assert gradient.shape == p.shape
            assert everywhere or not gradient[~connected].any()
        if everywhere:
            assert any(g[~c].any() for g, c in zip(told, there, strict=True))
        one.step()
        # the same after the step, whatever it dropped and grew
        for before, after in zip(told, gradients(net), strict=True):
            np.testing.assert_array_equal(before, after)


@ALL
def test_looking_and_writing_between_backward_pass_and_update(kind: type[Masked]) -> None:
    def look(net: Net) -> None:
        for p in net.weights:
            assert p.grad is not None

    def halve(net: Net) -> None:
        for p in net.weights:
            p.grad *= 0.5

    def replace(net: Net) -> None:
        for p in net.weights:
            p.grad = p.grad / 2

    found = []
    for seam in (None, look, halve, replace):
        net = Net(np.float32)
        train(net, optimizer(kind, net), 6, seam and (lambda net=net, seam=seam: seam(net)))
        found.append([p.numpy().copy() for p in net.weights])
    for plain, looked, halved, replaced in zip(*found, strict=True):
        np.testing.assert_array_equal(plain, looked)
        np.testing.assert_array_equal(halved, replaced)
    assert any((p != q).any() for p, q in zip(found[0], found[2], strict=True))


def test_gradients_add_up() -> None:
    """Packed with packed, with a whole one, and with those of other connections."""
    net = Net(np.float32)
    one = optimizer(optim.SET, net)
    one.zero_grad()
    net.loss().backward()
    assert any(isinstance(p.grad_memory, Packed) for p in net.weights)
    once = gradients(net)
    one.zero_grad()
    for _ in range(2):
        net.loss().backward()
    assert any(isinstance(p.grad_memory, Packed) for p in net.weights)
    net.loss().backward()
    for p in net.weights:
        assert p.grad is not None
    net.loss().backward()
    for total, single in zip(gradients(net), once, strict=True):
        np.testing.assert_allclose(total, 4 * single, rtol=1e-5, atol=1e-6)
    moved = net.weights[2]
    one.zero_grad()
    net.loss().backward()
    first = gradients(net)
    moved.assign(np.roll(moved.numpy(), 1, axis=0))
    net.loss().backward()
    total = gradients(net)[2]
    one.zero_grad()
    net.loss().backward()
    np.testing.assert_allclose(total, first[2] + gradients(net)[2], rtol=1e-4, atol=1e-6)


def test_connections_that_are_others_before_the_update() -> None:
    """Set by hand between backward pass and step: what has no gradient has that of 0."""
    nets = Net(np.float32), Net(np.float32, "reference")
    for net in nets:
        one = optimizer(optim.SET, net, every=100)
        train(net, one, 2)
        one.zero_grad()
        net.loss().backward()
        weight = net.weights[2]
        weight.assign(np.roll(weight.numpy(), 1, axis=0))
        one.step()
        assert (weight.numpy() != 0).sum() == one.connections(weight)
    for p, q in zip(*(net.weights for net in nets), strict=True):
        np.testing.assert_array_equal(p.numpy() == 0, q.numpy() == 0)
        np.testing.assert_allclose(p.numpy(), q.numpy(), atol=1e-5)


def test_weights_that_are_written_to_unseen() -> None:
    """Somebody holds a view of the weights, so that nothing is known of them."""
    found = []
    for exposed in (False, True):
        net = Net(np.float32)
        views = [p.data for p in net.weights] if exposed else []
        train(net, optimizer(optim.SET, net), 6)
        found.append([p.numpy().copy() for p in net.weights])
        assert len(views) in (0, 4)
    for p, q in zip(*found, strict=True):
        np.testing.assert_array_equal(p, q)


def test_which_gradients_a_step_asks_for() -> None:
    net = Net(np.float32)
    one = optimizer(optim.RigL, net)
    one.begin(None, 100)
    asked = []
    for _ in range(9):
        one.zero_grad()
        asked.append(net.weights[0].gradient)
        net.loss().backward()
        one.step()
    assert asked == ["survivors"] * 3 + ["all"] + ["survivors"] * 3 + ["all", "survivors"]
    # nothing is grown by gradients that are not there
    one.take_changes()
    one.zero_grad()
    net.loss().backward()
    one.every = 1
    one.step()
    assert all(grown == 0 for _, grown in one.take_changes().values())
    train(net, one, 1)
    assert all(grown > 0 for _, grown in one.take_changes().values())
    # another method looks at all again, and takes what was packed before it came
    optim.SET(net.weights, fresh=False).zero_grad()
    net.loss().backward()
    assert any(isinstance(p.grad_memory, Packed) for p in net.weights)
    adam = optim.Adam(net.weights)
    assert {p.gradient for p in net.weights} == {"all"}
    adam.step()


class Looks(Callback):
    """Looks at every gradient, and may break one."""

    def __init__(self, breaks: int = -1) -> None:
        self.breaks = breaks

    def gradients(self, trainer: Trainer) -> None:
        for p in trainer.network.parameters():
            assert p.grad is not None
            assert p.grad.shape == p.shape
            if p.role == "weight":
                assert not p.grad[p.numpy() == 0].any()
        if trainer.position == self.breaks:
            trainer.network[6].weight.grad[1, 2] = np.nan  # type: ignore[index]


def trainer(data: Dataset, kind: type[Masked] = optim.SET, **settings: Any) -> Trainer:
    net = network()
    settings_of = {} if kind is optim.DeepR else {"every": 5}
    one = kind(net.parameters(), lr=0.01, target_connectivity=0.12, **settings_of, rng=2)
    return Trainer(net, one, data, **{"batch_size": 32, "epochs": 3, "seed": 5, **settings})


@BOTH
def test_a_callback_that_looks_changes_nothing(tiny: Dataset, kind: type[Masked]) -> None:
    found = []
    for callbacks in ([], [Looks()] if kind is optim.SET else []):
        run = trainer(tiny, kind, callbacks=callbacks)
        run.fit()
        found.append(list(state(run)))
    assert found[0] == found[1]


def test_a_gradient_that_is_not_finite_stops_before_the_update(tiny: Dataset) -> None:
    run = trainer(tiny, callbacks=[Looks(breaks=3)])
    with pytest.raises(snnr.SnnrError, match=r"gradient of 6_linear\.weight"):
        run.fit()
    assert run.optimizer.step_count == 3


def test_a_packed_gradient_that_is_not_finite_is_found(tiny: Dataset) -> None:
    run = trainer(tiny)
    weight = run.network[6].weight
    values = weight.numpy().copy()
    values[np.nonzero(values)[0][0], np.nonzero(values)[1][0]] = np.nan
    weight.assign(values)
    with pytest.raises(snnr.SnnrError, match="not finite"):
        run.fit()


@pytest.mark.parametrize("at", [4, 7])
@ALL
def test_a_resumed_training_has_the_same_bits(
    tiny: Dataset, tmp_path: Any, kind: type[Masked], at: int
) -> None:
    from ..training.runs import StopAt

    whole = trainer(tiny, kind)
    whole.fit()
    path = tmp_path / "c.h5"
    run = trainer(tiny, kind, checkpoint=path, callbacks=[StopAt(at)])
    with pytest.raises(KeyboardInterrupt):
        run.fit()
    again = Trainer.resume(path, tiny)
    again.fit()
    assert list(state(again)) == list(state(whole))


def test_the_step_follows_the_connections_alone() -> None:
    """Nothing of the size of the weights is made between two rewirings."""
    net = Net(np.float32)
    one = optimizer(optim.SET, net, every=1000)
    train(net, one, 2)
    backend = kernels.backend("cpu")
    asked: list[tuple[int, ...]] = []
    empty = backend.empty
    try:
        backend.empty = lambda shape, dtype=np.float32: (  # type: ignore[method-assign]
            asked.append(tuple(np.atleast_1d(shape))) or empty(shape, dtype)  # type: ignore[func-returns-value]
        )
        train(net, one, 1)
    finally:
        backend.empty = empty  # type: ignore[method-assign]
    assert not {p.memory.shape for p in net.weights} & set(asked)
