"""Networks that can be asked: stages, output shapes, declared arrays, descriptions."""

import json
from typing import Any

import numpy as np
import pytest

import snnr
from snnr import functional as F
from snnr import models, nn
from snnr.layout import Layout
from snnr.nn.stages import chain
from snnr.tensor import Tensor


def kinds(stage: nn.Stage) -> list[str]:
    return [layer.kind for layer in stage.layers]


def test_stages_of_the_papers_networks() -> None:
    conv = ["Conv2d", "BatchNorm2d", "LIF", "MaxPool2d"]
    assert [kinds(stage) for stage in nn.stages(models.csnn(channels=2))] == [
        conv, conv, ["Flatten", "Dropout", "Linear", "LIF"], ["Linear", "LIF"], ["Voting"],
    ]  # fmt: skip
    assert [kinds(stage) for stage in nn.stages(models.mnist_fc(hidden=3))] == [
        ["Flatten", "Linear", "LIF"], ["Linear", "LIF"],
    ]  # fmt: skip


def test_nested_sequences_are_opened_and_other_layers_stand_alone() -> None:
    class Own(nn.Layer):
        def forward(self, x: Tensor) -> Tensor:
            return x

    own = Own()
    net = nn.Sequential(
        nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.BatchNorm1d(3), nn.LIF())), own, nn.LIF(),
        nn.BatchNorm1d(3), nn.LIF(),
    )  # fmt: skip
    found = nn.stages(net)
    assert [kinds(stage) for stage in found] == [
        ["Linear", "BatchNorm1d", "LIF"], ["Own"], ["LIF"], ["BatchNorm1d", "LIF"],
    ]  # fmt: skip
    assert found[1].other is own
    assert found[0].weight is net[0][0]  # type: ignore[index]
    assert [layer.kind for layer in chain(net)].count("LIF") == 3


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (models.csnn(channels=2), (1, 28, 28)),
        (models.mnist_fc(hidden=3), (1, 28, 28)),
        (models.cifar10_conv(channels=2, T=2), (3, 32, 32)),
        (nn.Sequential(nn.Conv2d(2, 3, 5, 2, 1), nn.AvgPool2d(3, 2), T=1), (2, 15, 12)),
        (nn.Sequential(nn.MaxPool2d(3, 1), nn.Dropout(), nn.BatchNorm2d(2)), (2, 5, 4)),
    ],
)
def test_the_output_shape_is_that_of_the_output(net: nn.Sequential, shape: Any) -> None:
    net.eval().to("reference")
    found = net(np.zeros((2, *shape), np.float32))
    assert net.output_shape(shape) == found.sample_shape[1:]


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(3, 2), (4,)),
        (nn.Linear(3, 2), (3, 1, 1)),
        (nn.Conv2d(2, 2, 3), (3, 5, 5)),
        (nn.Conv2d(2, 2, 3), (2, 2, 5)),
        (nn.BatchNorm1d(3), (4,)),
        (nn.MaxPool2d(3), (1, 2, 5)),
        (nn.Voting(3), (10,)),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(layer: nn.Layer, shape: Any) -> None:
    told = rf"{layer.kind}\(.*(not|larger) .*\{list(shape)!r}"[:-1]
    with pytest.raises(snnr.ShapeError, match=told):
        layer.output_shape(shape)


def test_layers_declare_their_arrays_without_making_them() -> None:
    huge = {"in_features": 1 << 30, "out_features": 1 << 30}
    specs = nn.Linear.declare(**huge)
    assert specs["weight"].shape == (1 << 30, 1 << 30)
    assert specs["weight"].layout is Layout.LINEAR
    for layer in (nn.Conv2d(2, 3, 5, rng=0), nn.Linear(4, 3, bias=False), nn.BatchNorm2d(3)):
        declared = type(layer).declare(**layer.settings())
        arrays = layer.arrays()
        assert list(declared) == list(arrays)
        for name, spec in declared.items():
            assert (spec.shape, spec.layout, spec.role) == (
                arrays[name].shape,
                arrays[name].layout,
                arrays[name].role,
            )
            assert spec.trained == (name in layer.own_parameters())


def test_a_description_is_json_and_makes_the_network_again() -> None:
    net = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 2, 3, rng=0), nn.LIF(tau=3.0, surrogate="sigmoid"), T=2),
        nn.Flatten(), nn.Dropout(0.25), nn.Linear(8, 3, bias=False), nn.IF(v_reset=None), T=5,
    )  # fmt: skip
    told = json.loads(json.dumps(nn.describe(net)))
    again = nn.build(told["type"], told["settings"], empty=True)
    assert nn.describe(again) == nn.describe(net)
    assert [p.name for p in again.parameters()] == [p.name for p in net.parameters()]
    assert not any(p.numpy().any() for p in again.parameters())
    assert repr(again) == repr(net)
    for layer in again.layers():
        if isinstance(layer, nn.IF):
            assert (2 if layer.name.startswith("0_") else 5) == layer.T


def test_too_deep_a_description_is_refused() -> None:
    told: dict[str, Any] = {"type": "Flatten", "settings": {}}
    for _ in range(40):
        told = {"type": "Sequential", "settings": {"T": None, "layers": [told]}}
    with pytest.raises(snnr.ConfigError, match="deep"):
        nn.build(told["type"], told["settings"])


@pytest.mark.parametrize("device", ["cpu", "reference"])
@pytest.mark.parametrize("v_reset", [0.0, None])
def test_a_long_sequence_runs_in_pieces(device: str, v_reset: float | None) -> None:
    x = np.random.default_rng(0).normal(0.5, 1, (12, 3, 2, 4, 5)).astype(np.float32)
    neuron = F.lif_neuron(v_reset=v_reset)
    whole = F.spiking(Tensor(x, timesteps=12, device=device), neuron).numpy()
    state = Tensor(np.zeros((3, 2, 4, 5), np.float32), device=device)
    pieces, grads = [], []
    for first in (0, 5):
        part = x[first : first + (5 if first == 0 else 7)]
        leaf = Tensor(part, requires_grad=True, timesteps=len(part), device=device)
        out = F.spiking(leaf, neuron, state=state)
        out.backward(np.ones(out.shape))
        pieces.append(out.numpy())
        grads.append(leaf.grad)
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    # the gradient within the last piece is that of the whole, which flows backwards in time
    leaf = Tensor(x, requires_grad=True, timesteps=12, device=device)
    F.spiking(leaf, neuron).backward(np.ones(whole.shape))
    assert leaf.grad is not None
    np.testing.assert_allclose(grads[1], leaf.grad[5:], rtol=1e-5, atol=1e-6)
    with pytest.raises(snnr.ShapeError, match="state"):
        F.spiking(leaf, neuron, state=Tensor(np.zeros((3, 2), np.float32), device=device))
