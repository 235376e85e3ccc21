"""Every differentiable operation passes the gradient check, alone and in a network."""

import numpy as np
import pytest

from snnr import functional as F
from snnr.gradient_check import gradcheck
from snnr.tensor import Tensor

RTOL = 1e-8  # measured: below 1e-10
LABELS = np.array([1, 7, 0])
MASK = F.dropout_mask((3, 8), 0.5, key=0).numpy()


def statistics(channels):
    generator = np.random.default_rng(1)
    return F.RunningStatistics(generator.standard_normal(channels), 1 + generator.random(channels))


def leaves(shapes, device="reference"):
    """Random inputs: a shape is a tuple, or (T, tuple) for a sequence."""
    generator = np.random.default_rng(2)
    made = []
    for steps, shape in shapes:
        data = generator.standard_normal(shape if steps is None else (steps, *shape))
        made.append(Tensor(data, timesteps=steps, device=device))
    return made


def flat(*shape):
    return (None, shape)


def sequence(*shape):
    return (2, shape)


IMAGES = sequence(3, 4, 5, 6)
ROWS = sequence(3, 8)
OPERATIONS = {
    "add": (lambda t: F.add(*t), [ROWS, ROWS]),
    "multiply": (lambda t: F.multiply(*t), [ROWS, ROWS]),
    "total": (lambda t: F.total(*t), [ROWS]),
    "linear": (lambda t: F.linear(*t), [ROWS, flat(5, 8), flat(5)]),
    "static linear": (lambda t: F.linear(*t), [flat(3, 8), flat(5, 8)]),
    "masked linear": (
        lambda t: F.linear(*t, mask=MASK, factor=2.0),
        [ROWS, flat(5, 8), flat(5)],
    ),
    "conv2d": (lambda t: F.conv2d(*t, padding=1), [IMAGES, flat(2, 4, 3, 3), flat(2)]),
    "strided conv2d": (
        lambda t: F.conv2d(*t, stride=(2, 3), padding=(1, 0)),
        [flat(3, 4, 5, 6), flat(2, 4, 3, 2)],
    ),
    "batch norm": (lambda t: F.batch_norm(*t, statistics(4), True), [IMAGES, flat(4), flat(4)]),
    "batch norm of rows": (
        lambda t: F.batch_norm(*t, statistics(8), True),
        [ROWS, flat(8), flat(8)],
    ),
    "batch norm, evaluating": (
        lambda t: F.batch_norm(*t, statistics(4), False),
        [IMAGES, flat(4), flat(4)],
    ),
    "max pool": (lambda t: F.max_pool2d(*t, size=3, stride=2), [IMAGES]),
    "average pool": (lambda t: F.avg_pool2d(*t), [IMAGES]),
    "dropout": (lambda t: F.dropout(*t, p=0.5, mask=MASK), [ROWS]),
    "flatten": (lambda t: F.flatten(*t), [IMAGES]),
    "voting": (lambda t: F.voting(*t, group=4), [ROWS]),
    "mean over time": (lambda t: F.mean_time(*t), [ROWS]),
    "squared error": (lambda t: F.mse_loss(*t), [flat(3, 8), flat(3, 8)]),
    "squared error of labels": (lambda t: F.label_mse_loss(*t, labels=LABELS), [flat(3, 8)]),
    "cross entropy": (lambda t: F.cross_entropy(*t, labels=LABELS), [flat(3, 8)]),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation(name):
    (f, shapes) = OPERATIONS[name]
    gradcheck(f, leaves(shapes), rtol=RTOL)


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
