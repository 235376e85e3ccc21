"""What somebody who comes from another library tries first works, or is told what to do."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import snnr
from snnr import functional as F
from snnr import nn, optim
from snnr.tensor import Tensor

IMAGES = np.zeros((2, 1, 6, 6), np.float32)
ROWS = np.zeros((2, 4), np.float32)


class torch_like:
    """Of a module that is named torch."""


torch_like.__module__ = "torch"


class Twice(snnr.Function):
    def forward(self, x: Tensor) -> Any:
        return x.memory

    def backward(self, grad: Any) -> tuple[Any]:
        return (grad,)


def net() -> nn.Sequential:
    return snnr.models.mnist_fc(2, 0, "reference", (1, 6, 6), 4, hidden=9)


def adam() -> optim.Adam:
    return optim.Adam(net().parameters())


def x(array: Any = IMAGES) -> Tensor:
    return Tensor(array, device="reference")


def again() -> Any:
    function = Twice()
    function(x())
    return function(x())


#: what is tried -> the error, and words of it: the value, what was expected, the remedy
TOLD: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "a Function twice": (again, snnr.TapeError, "Twice was called before; make a new one"),
    "a Function of an array": (lambda: Twice()(ROWS), snnr.ArgumentError, "Twice.*NumPy.*wrap"),
    "a Function of nothing": (lambda: Twice()(), snnr.ArgumentError, "at least one input"),
    "a network for parameters": (
        lambda: optim.Adam(net()), snnr.ConfigError, r"Sequential.*pass net\.parameters\(\)",
    ),
    "parameters uncalled": (
        lambda: optim.GradR(net().parameters), snnr.ConfigError, r"pass net\.parameters\(\)",
    ),
    "one parameter": (
        lambda: optim.Adam(net().parameters()[0]), snnr.ConfigError, "Parameter.*must be a list",
    ),
    "a list in a list": (
        lambda: optim.Adam([net().parameters()]), snnr.ConfigError, "list .*is no Parameter",
    ),
    "a learning rate as text": (
        lambda: optim.Adam(net().parameters(), lr="0.1"), snnr.ConfigError, "'0.1'.*finite number",
    ),
    "a tuple for a data set": (
        lambda: snnr.Trainer(net(), adam(), (IMAGES, [0, 1])), snnr.ConfigError,
        r"a tuple.*snnr\.data\.load",
    ),
    "a trainer the other way": (
        lambda: snnr.Trainer(adam(), net(), None), snnr.ArgumentError,
        r"Adam.*expected a network.*Trainer\(network, optimizer, dataset\)",
    ),
    "parameters for an optimizer": (
        lambda: snnr.Trainer(net(), net().parameters(), None), snnr.ArgumentError,
        "optimizer is list.*GradR",
    ),
    "a callback for callbacks": (
        lambda: snnr.Trainer(net(), adam(), None, callbacks=snnr.Callback()), snnr.ArgumentError,
        "callbacks is.*expected a list",
    ),
    "a layer of an array": (lambda: nn.Linear(4, 3)(ROWS), snnr.ArgumentError, "Linear: x is a N"),
    "a layer of a list": (lambda: nn.LIF()([1.0]), snnr.ArgumentError, r"list \[1.0\].*np.asarray"),
    "a tensor of torch": (
        lambda: nn.Flatten()(torch_like()), snnr.ArgumentError, r"a torch.*detach\(\)\.cpu\(\)",
    ),
    "a network of text": (lambda: net()("a"), snnr.ArgumentError, "str 'a'.*array of numbers"),
    "a network of nothing": (lambda: net()(None), snnr.ArgumentError, "NoneType"),
    "bytes": (lambda: net()((IMAGES + 255).astype("u1")), snnr.ShapeError, "uint8.*normalise"),
    "layers in a list": (
        lambda: nn.Sequential([nn.LIF()]), snnr.ConfigError, r"Sequential\(\*layers\)",
    ),
    "a class for a layer": (
        lambda: nn.Sequential(nn.LIF), snnr.ConfigError, r"class LIF.*make one: LIF\(",
    ),
    "a function for a layer": (
        lambda: nn.Sequential(F.flatten), snnr.ConfigError, "function flatten.*subclass",
    ),
    "a seed as text": (lambda: nn.Linear(4, 3, rng="a"), snnr.ConfigError, "rng.*'a'.*a seed"),
    "a negative seed": (lambda: snnr.models.csnn(seed=-1), snnr.ConfigError, "-1.*at least 0"),
    "a truth as text": (lambda: nn.Linear(4, 3, bias="no"), snnr.ConfigError, "bias.*'no'.*True"),
    "a reset as text": (lambda: nn.LIF(detach_reset="no"), snnr.ConfigError, "detach_reset.*'no'"),
    "a half for a size": (lambda: nn.Linear(4, 2.5), snnr.ConfigError, "2.5.*whole number"),
    "a pair of a pooling": (lambda: nn.MaxPool2d((2, 2)), snnr.ConfigError, r"\(2, 2\).*whole"),
    "zero_grad": (lambda: net().zero_grad(), AttributeError, r"optimizer\.zero_grad\(\)"),
    "state_dict": (lambda: net().state_dict(), AttributeError, r"snnr\.save\(path, network\)"),
    "cuda": (lambda: net().cuda(), AttributeError, r"network\.to\('cuda'\)"),
    "a near miss": (lambda: net().paramters(), AttributeError, "did you mean parameters"),
    "no such thing": (lambda: net().nonsense, AttributeError, "'nonsense'$"),
    "param_groups": (lambda: adam().param_groups, AttributeError, r"optimizer\.lr"),
    "the state": (lambda: adam().state_dict(), AttributeError, r"snnr\.save\(path, network, opt"),
    "a near miss of lr": (lambda: adam().lrr, AttributeError, "did you mean lr"),
    "mean_time": (lambda: F.mean_time(IMAGES), snnr.ArgumentError, "mean_time: x is a NumPy"),
    "mse_loss": (lambda: F.mse_loss(ROWS, ROWS), snnr.ArgumentError, "mse_loss: x"),
    "no target": (lambda: F.mse_loss(x(), None), snnr.ArgumentError, "NoneType.*one_hot"),
    "cross_entropy": (lambda: F.cross_entropy(ROWS, [0, 1]), snnr.ArgumentError, "entropy: x is"),
    "labels as floats": (
        lambda: F.cross_entropy(x(ROWS), [0.0, 1.0]), snnr.ShapeError, r"astype\(np.int64\)",
    ),
    "labels one-hot": (lambda: F.cross_entropy(x(ROWS), ROWS), snnr.ShapeError, "argmax"),
    "labels as tensor": (
        lambda: F.label_mse_loss(x(ROWS), x(ROWS)), snnr.ArgumentError, "labels is Tensor.*list",
    ),
    "linear": (lambda: F.linear(x(ROWS), ROWS), snnr.ArgumentError, "linear: weight is a NumPy"),
    "a bias": (lambda: F.linear(x(ROWS), x(ROWS), ROWS), snnr.ArgumentError, "bias is a NumPy"),
    "spikes for a weight": (
        lambda: F.linear(x(ROWS), x(ROWS.astype("u1"))), snnr.ShapeError, "holds spikes.*astype",
    ),
    "conv2d": (lambda: F.conv2d(IMAGES, x()), snnr.ArgumentError, "conv2d: x is a NumPy"),
    "spiking": (lambda: F.spiking(ROWS, F.lif_neuron(), 2), snnr.ArgumentError, "spiking: x is"),
    "a layer for a neuron": (
        lambda: F.spiking(x(ROWS), nn.LIF(), 2), snnr.ArgumentError, r"neuron is LIF.*\.neuron\(\)",
    ),
    "T as text": (lambda: F.spiking(x(ROWS), F.lif_neuron(), "2"), snnr.ShapeError, "'2'.*whole"),
    "max_pool2d": (lambda: F.max_pool2d(IMAGES), snnr.ArgumentError, "max_pool2d: x is"),
    "a pair": (lambda: F.avg_pool2d(x(), (2, 2)), snnr.ShapeError, r"\(2, 2\).*square"),
    "half a window": (lambda: F.avg_pool2d(x(), 2.5), snnr.ShapeError, "2.5.*whole"),
    "flatten": (lambda: F.flatten(IMAGES), snnr.ArgumentError, "flatten: x is"),
    "voting": (lambda: F.voting(ROWS), snnr.ArgumentError, "voting: x is"),
    "a group as text": (lambda: F.voting(x(ROWS), "2"), snnr.ShapeError, "group.*'2'"),
    "dropout": (lambda: F.dropout(ROWS, 0.5, ROWS), snnr.ArgumentError, "dropout: x is"),
    "a share above one": (lambda: F.dropout_mask((3,), 2.0, 0), snnr.ShapeError, r"2\.0.*\[0, 1\)"),
    "batch_norm": (
        lambda: F.batch_norm(IMAGES, x(), x(), None, True), snnr.ArgumentError, "norm: x is",
    ),
    "no statistics": (
        lambda: F.batch_norm(x(), x(), x(), None, True), snnr.ArgumentError, "RunningStatistics",
    ),
    "rows of unequal length": (
        lambda: Tensor([[1.0], [1.0, 2.0]]), snnr.ArgumentError, "equal lengths",
    ),
    "time as text": (lambda: Tensor(ROWS, timesteps="2"), snnr.ArgumentError, "'2'.*whole"),
    "save the other way": (
        lambda: snnr.save(net(), "f.h5"), snnr.ArgumentError, "Sequential, expected a path",
    ),
    "load a network": (lambda: snnr.load(net()), snnr.ArgumentError, "expected a path"),
    "compile a number": (lambda: snnr.compile(3), snnr.ArgumentError, "int, expected a path"),
    "a data set by number": (lambda: snnr.data.load(3), snnr.ArgumentError, "expected a path"),
    "gradcheck of a number": (lambda: snnr.gradcheck(3, [ROWS]), snnr.ArgumentError, "function"),
}  # fmt: skip


@pytest.mark.parametrize("name", TOLD)
def test_what_does_not_work_is_told(name: str) -> None:
    f, kind, told = TOLD[name]
    with pytest.raises(kind, match=f"(?s){told}") as caught:
        f()
    assert isinstance(caught.value, snnr.SnnrError | AttributeError)
    assert len(str(caught.value)) < 400


def test_what_works() -> None:
    network = net()
    assert network.train(False) is network.eval() is network
    assert not network.training
    optimizer = optim.GradR(network.train().parameters(), lr=np.float32(0.01), prior=np.float64(1))
    loss = F.label_mse_loss(F.mean_time(network(IMAGES + 5)), [0, 1])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    assert loss.item() == float(loss) == loss.detach().item()
    nn.LIF(tau=np.float32(2), v_threshold=np.float64(1), T=np.int64(3), detach_reset=np.True_)
    nn.Conv2d(np.int64(1), np.int32(2), np.int64(3), bias=np.False_)
    nn.Dropout(np.float32(0.5), rng=np.int64(3))
    np.testing.assert_array_equal(np.asarray(x(ROWS)), ROWS)
    assert len(x(ROWS)) == len(list(x(ROWS))) == 2
    assert hasattr(network, "in_order")
    assert not hasattr(network, "nonsense")
