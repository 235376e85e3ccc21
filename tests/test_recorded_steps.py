"""Whole training steps recorded with PyTorch and SpikingJelly are reproduced."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from snnr import functional as F
from snnr import models
from snnr.optim import GradR
from snnr.tensor import Tensor

FIXTURES = Path(__file__).parent / "fixtures"


def read(name):
    """Datasets by path, with the attributes of the file under ''."""
    found = {}
    with h5py.File(FIXTURES / name) as file:
        file.visititems(
            lambda path, item: found.update({path: item[()]}) if hasattr(item, "dtype") else None
        )
        found[""] = dict(file.attrs)
    return found


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_mnist_fc_step(device):
    recorded = read("mnist_fc_step.h5")
    settings = recorded[""]
    network = models.mnist_fc(T=int(settings["T"]), device=device)
    first, second = network.parameters()
    first.data[...] = recorded["fc1_weight"]
    second.data[...] = recorded["fc2_weight"]
    optimizer = GradR(
        network.parameters(),
        lr=settings["lr"],
        prior=settings["prior"],
        sparsity=settings["sparsity"],
    )
    images = recorded["images"].astype(np.float32) / 255
    images = ((images - np.float32(settings["mean"])) / np.float32(settings["std"]))[:, None]
    seen = {}
    with network.observed(lambda name, x: seen.update({name: x.data})):
        rate = F.mean_time(network(images))
    loss = F.mse_loss(rate, F.one_hot(recorded["labels"], 10))
    loss.backward()
    np.testing.assert_array_equal(seen["2_lif"], recorded["hidden_spikes"])
    np.testing.assert_array_equal(rate.data, recorded["rate"])
    assert loss.item() == pytest.approx(float(recorded["loss"]), rel=1e-6)
    for parameter, name in ((first, "fc1_grad"), (second, "fc2_grad")):
        scale = np.abs(recorded[name]).max()
        np.testing.assert_allclose(parameter.grad, recorded[name], rtol=0, atol=2e-6 * scale)
    optimizer.step()
    for parameter, name in ((first, "fc1"), (second, "fc2")):
        after, gradient = recorded[f"{name}_weight_after"], recorded[f"{name}_grad"]
        # a neuron that never fired gives its weights no gradient at all, and the prior alone moves
        silent = gradient == 0
        assert not parameter.grad[silent].any()
        # Adam's first step is the sign of the gradient: where that is rounding, so is the step
        certain = silent | (np.abs(gradient) > 1e-6)
        assert certain.mean() > 0.98
        np.testing.assert_allclose(parameter.data[certain], after[certain], rtol=0, atol=1e-6)
        np.testing.assert_allclose(parameter.data, after, rtol=0, atol=2.1 * settings["lr"])


CASES = [
    pytest.param("reference", np.float64, 1e-11, False, id="reference"),
    pytest.param("cpu", np.float32, 2e-5, False, id="cpu"),
    pytest.param("cpu", np.float32, 2e-5, True, id="cpu-fused"),
    pytest.param("cpu", np.float64, 1e-11, False, id="cpu-float64", marks=pytest.mark.slow),
    pytest.param("cpu", np.float64, 1e-11, True, id="cpu-float64-fused", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("device", "dtype", "tolerance", "fused"), CASES)
def test_conv_net_step(device, dtype, tolerance, fused):
    recorded = read("conv_net_step.h5")
    steps = int(recorded[""]["T"])
    neuron = F.lif_neuron(tau=float(recorded[""]["tau"]))

    def tensor(name):
        return Tensor(recorded[name].astype(dtype), requires_grad=True, device=device)

    repeated = np.broadcast_to(recorded["x"].astype(dtype), (steps, *recorded["x"].shape))
    x = Tensor(repeated, timesteps=steps, device=device)
    leaves, statistics, spikes = {}, {}, {}
    for block in ("1", "2"):
        for part in (f"conv{block}/weight", f"bn{block}/weight", f"bn{block}/bias"):
            leaves[part] = tensor(part)
        channels = len(recorded[f"bn{block}/weight"])
        running = F.RunningStatistics(np.zeros(channels, dtype), np.ones(channels, dtype))
        statistics[block] = running
        x = F.conv2d(x, leaves[f"conv{block}/weight"], padding=1)
        norm = leaves[f"bn{block}/weight"], leaves[f"bn{block}/bias"], running
        if fused:
            x = F.norm_spiking(x, *norm, neuron, training=True, pool=True)
        else:
            spikes[block] = F.spiking(F.batch_norm(x, *norm, training=True), neuron)
            x = F.max_pool2d(spikes[block], 2)
    leaves["fc/weight"] = tensor("fc/weight")
    out = F.spiking(F.linear(F.flatten(x), leaves["fc/weight"]), neuron)
    # rates of spikes are float32; the identity makes them as exact as the rest
    rate = F.mean_time(F.linear(out, Tensor(np.eye(10, dtype=dtype), device=device)))
    assert rate.dtype == dtype
    target = F.one_hot(recorded["labels"], 10, rate.dtype)
    loss = F.mse_loss(rate, target)
    loss.backward()

    for block, found in spikes.items():
        np.testing.assert_array_equal(found.data, recorded[f"spikes{block}"])
    np.testing.assert_array_equal(rate.data, recorded["rate"].astype(dtype))
    assert loss.item() == pytest.approx(float(recorded["loss"]), rel=tolerance)
    for name, leaf in leaves.items():
        expected = recorded[f"{name}_grad"]
        error = np.abs(leaf.grad - expected).max() / np.abs(expected).max()
        assert error < tolerance, name
    for block, running in statistics.items():
        for key, value in (("mean", running.mean), ("var", running.var)):
            expected = recorded[f"bn{block}/running_{key}_after"]
            np.testing.assert_allclose(value, expected, rtol=tolerance, atol=tolerance)
