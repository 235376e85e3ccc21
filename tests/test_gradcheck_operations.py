"""Every differentiable operation passes the gradient check, alone and in a network."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from snnr import functional as F
from snnr import nn
from snnr.gradient_check import gradcheck
from snnr.tensor import Function, Tensor

from .gradchecks import CASES, EXEMPT, flat, leaves, statistics, wanted, without_a_case

RTOL = 1e-8  # measured: below 1e-10


@pytest.mark.parametrize("name", CASES)
def test_operation(name: str) -> None:
    f, shapes = CASES[name]
    gradcheck(f, leaves(shapes), rtol=RTOL)


# No operation without a case


def test_every_operation_has_a_case() -> None:
    assert without_a_case(CASES.values()) == set()


def test_nothing_is_exempt_that_is_not_there() -> None:
    assert set(EXEMPT) <= wanted()


@pytest.mark.parametrize(
    ("name", "seen"),
    [("grouped conv2d", "Function GroupedConv2d"), ("spiking", "Function Spiking"),
     ("flatten", "Function Flatten"), ("nn.BatchNorm1d", "nn.BatchNorm1d"),
     ("a ** 3", "Tensor.__pow__"), ("2 / a", "Tensor.__rtruediv__"),
     ("max pool", "functional.max_pool2d"), ("cross entropy", "functional.cross_entropy")],
)  # fmt: skip
def test_a_case_that_is_taken_away_is_missed(name: str, seen: str) -> None:
    f, _ = CASES[name]
    reached = {"functional.max_pool2d": ["nn.MaxPool2d"], "Function GroupedConv2d": ["nn.Conv2d"],
               "Function Flatten": ["nn.Flatten", "nn.Sequential"],
               "Function Spiking": ["nn.LIF", "nn.IF", "nn.Sequential"]}  # fmt: skip
    others = reached.get(seen, [])
    left = [case for key, case in CASES.items() if case[0] is not f and key not in others]
    assert seen in without_a_case(left)


@pytest.fixture
def stranger() -> Iterator[type[Function]]:
    """A Function that passes for one of the package."""

    class Stranger(Function):
        def forward(self, x: Tensor) -> Any:
            return x.memory

        def backward(self, grad: Any) -> tuple[Any]:
            return (grad,)

    Stranger.__module__ = "snnr.functional.extra"
    yield Stranger
    Stranger.__module__ = __name__


def test_a_new_function_is_missed(stranger: type[Function]) -> None:
    assert without_a_case(CASES.values()) == {"Function Stranger"}
    case = (lambda t: stranger()(t[0]) + 1), [flat(3)]
    assert without_a_case([*CASES.values(), case]) == set()
    # who computes beside the tape is not covered
    beside = (lambda t: stranger()(t[0].detach()) + t[0]), [flat(3)]
    assert without_a_case([*CASES.values(), beside]) == {"Function Stranger"}


def test_new_names_are_missed() -> None:
    class Plain(nn.Flatten):
        pass

    def extra(x: Tensor) -> Tensor:
        return x

    Plain.__module__ = "snnr.nn.extra"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "extra", extra, raising=False)
        patch.setattr(F, "__all__", [*F.__all__, "extra"])
        patch.setitem(nn.LAYERS, "Plain", Plain)
        patch.setattr(Tensor, "cube", extra, raising=False)
        missed = without_a_case(CASES.values())
    assert missed == {"functional.extra", "nn.Plain", "Tensor.cube"}


# Neurons and networks


@pytest.mark.parametrize("steps", [None, 6])
@pytest.mark.parametrize("decay_input", [True, False])
@pytest.mark.parametrize("v_reset", [None, 0.0, -0.3])
# rectangular and triangular wide enough that no neuron meets a kink
@pytest.mark.parametrize(
    ("surrogate", "alpha"), [(0, 2.0), (1, 4.0), (2, 2.0), (3, 0.02), (4, 0.2), (5, 2.0)]
)
def test_neuron(surrogate, alpha, v_reset, decay_input, steps):
    neuron = F.lif_neuron(
        v_reset=v_reset,
        decay_input=decay_input,
        detach_reset=False,
        surrogate=surrogate,
        alpha=alpha,
        smooth=True,
    )
    inputs = leaves([(steps, (3, 4, 2, 2))])
    gradcheck(lambda t: F.spiking(*t, neuron, T=6), inputs, rtol=RTOL)


@pytest.mark.parametrize("make", [F.lif_neuron, F.if_neuron])
@pytest.mark.parametrize("v_reset", [None, 0.0])
def test_detached_reset_with_its_spikes_held(make, v_reset):
    """`detach_reset` is the exact gradient of a forward pass whose reset follows fixed spikes."""
    neuron = make(v_reset=v_reset, detach_reset=True, smooth=True)
    (x,) = leaves([(6, (3, 5))])
    held = F.spiking(x, neuron).data.copy()
    gradcheck(lambda t: F.spiking(*t, neuron, held=held), [x], rtol=RTOL)


def network(tensors, neuron, held=(None, None)):
    """conv - BatchNorm - LIF - pool - linear - LIF - voting; returns the loss and both spikes."""
    (x, w1, scale, shift, w2) = tensors
    h = F.batch_norm(F.conv2d(x, w1, padding=1), scale, shift, statistics(6), True)
    first = F.spiking(h, neuron, T=8, held=held[0])
    second = F.spiking(F.linear(F.flatten(F.avg_pool2d(first)), w2), neuron, held=held[1])
    rate = F.mean_time(F.voting(second, 2))
    return F.mse_loss(rate, np.eye(3, 4)), first, second


NETWORK = [flat(3, 2, 6, 6), flat(6, 2, 3, 3), flat(6), flat(6), flat(8, 54)]
DEVICES = ["reference", pytest.param("cpu", marks=pytest.mark.slow)]


@pytest.mark.parametrize("v_reset", [0.0, None])
@pytest.mark.parametrize("device", DEVICES)
def test_network(device, v_reset):
    neuron = F.lif_neuron(v_reset=v_reset, detach_reset=False, smooth=True)
    gradcheck(lambda t: network(t, neuron)[0], leaves(NETWORK, device), rtol=RTOL)


@pytest.mark.parametrize("v_reset", [0.0, None])
@pytest.mark.parametrize("device", DEVICES)
def test_network_with_detached_reset(device, v_reset):
    neuron = F.lif_neuron(v_reset=v_reset, detach_reset=True, smooth=True)
    free, fixed = leaves(NETWORK, device), leaves(NETWORK, device)
    for leaf in [*free, *fixed]:
        leaf.requires_grad = True
    loss, first, second = network(free, neuron)
    loss.backward()
    # the resets keep these spikes while the inputs move
    held = first.data.copy(), second.data.copy()
    inputs = leaves(NETWORK, device)
    gradcheck(lambda t: network(t, neuron, held)[0], inputs, rtol=RTOL)
    network(fixed, neuron, held)[0].backward()
    for one, other in zip(free, fixed, strict=True):
        np.testing.assert_allclose(one.grad, other.grad, rtol=1e-12, atol=1e-14)
