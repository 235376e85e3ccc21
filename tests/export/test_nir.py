"""NIR: the graph says what the network does, comes back, and other frameworks fire alike."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import snnr
from snnr import nn
from snnr.errors import CheckpointError, ConfigError
from snnr.export import exported, write_nir

from .networks import MEAN, SPECS, STD, dense_spikes, network, normalised

nir = pytest.importorskip("nir")

SAID = ("fc", "conv", "strides", "average", "reset")


def stepped(graph: Any, images: np.ndarray, dt: float, T: int) -> list[np.ndarray]:
    """Spikes of all neurons, by NIR's equations in Euler steps: the slow, obvious reader."""
    names = [start for start, _ in graph.edges]
    values = [images.reshape(len(images), *graph.nodes["input"].input_type["input"])] * T
    fired = []
    for name in names[1:]:
        node = graph.nodes[name]
        kind = type(node).__name__
        if kind in ("LIF", "IF"):
            v = np.broadcast_to(node.v_reset, values[0].shape).astype(np.float64)
            out = []
            for current in values:
                if kind == "LIF":
                    v = v + dt / node.tau * (node.v_leak - v + node.r * current)
                else:
                    v = v + dt * node.r * current
                z = v.astype(np.float32) > node.v_threshold
                v = np.where(z, node.v_reset, v)
                out.append(z.astype(np.float64))
            values = out
            fired.append(np.stack(out, axis=1))
        else:
            values = [apply(node, kind, x) for x in values]
    return [*fired, np.mean(values, axis=0)]


def apply(node: Any, kind: str, x: np.ndarray) -> np.ndarray:
    if kind == "Threshold":
        return (x > node.threshold).astype(np.float64)
    if kind == "Flatten":
        return x.reshape(len(x), -1)
    if kind in ("Linear", "Affine"):
        return x @ node.weight.T.astype(np.float64) + getattr(node, "bias", 0)
    pads = [(0, 0), (0, 0), *((int(p), int(p)) for p in node.padding)]
    padded = np.pad(x, pads)
    size = node.weight.shape[2:] if kind == "Conv2d" else tuple(node.kernel_size)
    windows = np.lib.stride_tricks.sliding_window_view(padded, size, axis=(2, 3))
    windows = windows[:, :, :: node.stride[0], :: node.stride[1]]
    if kind == "Conv2d":
        out = np.einsum("nchwij,ocij->nohw", windows, node.weight.astype(np.float64))
        return out + node.bias[:, None, None]
    total = windows.sum(axis=(4, 5))
    return total if kind == "SumPool2d" else total / np.prod(size)


@pytest.mark.parametrize("spec", SAID)
def test_by_its_equations_it_fires_as_the_network(
    spec: str, tmp_path: Path, pixels: np.ndarray
) -> None:
    net = network(SPECS[spec])
    path = write_nir(net, tmp_path / "n.nir", input_shape=(2, 9, 8), mean=MEAN, std=STD)
    graph = nir.read(path)
    *fired, rates = stepped(graph, normalised(pixels), 1e-4, 4)
    dense, wanted = dense_spikes(net, normalised(pixels))
    stages = [s for s in exported(net, (2, 9, 8)).form.stages if s.neuron is not None]
    for stage, spikes in zip(stages, fired, strict=True):
        expected = dense[stage.neuron_name][:, :, stage.kept].swapaxes(0, 1)
        assert (spikes == expected).mean() > 0.9995
    assert (np.abs(rates - wanted) < 1e-6).mean() > 0.98
    assert float(graph.metadata["dt"]) == 1e-4
    np.testing.assert_array_equal(graph.metadata["mean"], np.float32(MEAN))


@pytest.mark.parametrize("spec", SAID)
def test_there_and_back(spec: str, tmp_path: Path, pixels: np.ndarray) -> None:
    net = network(SPECS[spec])
    back = snnr.load_nir(write_nir(net, tmp_path / "n.nir", input_shape=(2, 9, 8)))
    assert back.T == 4
    images = normalised(pixels)
    _, rates = dense_spikes(net, images)
    if "vote" in SPECS[spec]:
        assert isinstance(back[len(back) - 1], nn.Linear)
    _, found = dense_spikes(back, images)
    assert (np.abs(found - rates) < 1e-6).mean() > 0.98
    kinds = [layer.kind for layer in back]
    assert ("MaxPool2d" in kinds) == ("mp2" in SPECS[spec])


def test_at_the_threshold_a_neuron_fires_in_both(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.LIF(), T=3)
    net[0].weight.assign(np.array([[2.0]], np.float32))  # h = 1, exactly the threshold
    graph = nir.read(write_nir(net, tmp_path / "n.nir"))
    (fired, _) = stepped(graph, np.ones((1, 1)), 1e-4, 3)
    assert fired.ravel().tolist() == [1, 1, 1]
    back = snnr.load_nir(tmp_path / "n.nir")
    assert isinstance(back[2], nn.LIF)
    assert (back[2].tau, back[2].v_threshold, back[2].decay_input) == (2.0, 1.0, True)


def test_it_trains_and_prunes(tmp_path: Path, pixels: np.ndarray) -> None:
    back = snnr.load_nir(
        write_nir(network(SPECS["fc"]), tmp_path / "n.nir", input_shape=(2, 9, 8)), T=2
    )
    optimizer = snnr.optim.GradR(back.parameters(), lr=0.05, prior=1.0)
    before = optimizer.connectivity()
    for _ in range(3):
        rate = snnr.functional.mean_time(back.train()(normalised(pixels)))
        optimizer.zero_grad()
        snnr.functional.label_mse_loss(rate, np.arange(40) % 5).backward()
        optimizer.step()
    assert optimizer.connectivity() < before


def test_what_nir_cannot_say(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"2_lif resets by subtraction.*v_reset=0"):
        write_nir(network(SPECS["soft"]), tmp_path / "n.nir", input_shape=(2, 9, 8))
    with pytest.raises(ConfigError, match="maximum of what is no spike"):
        write_nir(network("4c3-mp2-lif-fc5-lif"), tmp_path / "n.nir", input_shape=(2, 9, 8))
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "n.nir"
    path.write_bytes(b"no")
    with pytest.raises(CheckpointError, match="not a NIR file"):
        snnr.load_nir(path)
    ones = np.ones(3, np.float32)
    lif = {"tau": ones * 2e-4, "r": ones, "v_leak": ones * 0, "v_threshold": ones}
    for nodes, told in (
        ([nir.LIF(**{**lif, "v_leak": ones})], "leaks to another"),
        ([nir.LIF(**{**lif, "tau": np.array([1, 2, 3]) * 1e-4})], "different values of tau"),
        ([nir.LIF(**{**lif, "tau": ones * 1e-4})], "more than 1"),
        ([nir.LIF(**{**lif, "r": ones * 5})], "no weights in front"),
        ([nir.LI(tau=ones, r=ones, v_leak=ones)], "is a LI"),
        ([nir.Threshold(threshold=ones)], "behind a SumPool2d"),
    ):
        nir.write(path, nir.NIRGraph.from_list(*nodes))
        with pytest.raises(CheckpointError, match=told):
            snnr.load_nir(path)


def test_a_file_of_a_stranger(tmp_path: Path) -> None:
    path = write_nir(network(SPECS["fc"]), tmp_path / "n.nir", input_shape=(2, 9, 8))
    with h5py.File(path, "r+") as file:
        node = next(n for n in file["node/nodes"].values() if "weight" in n)
        del node["weight"]
        node["weight"] = h5py.ExternalLink("other.h5", "/weight")
    with pytest.raises(CheckpointError, match="links are not followed"):
        snnr.load_nir(path)
    with h5py.File(path, "r+") as file:
        node = next(n for n in file["node/nodes"].values() if "linear" in n.name)
        del node["weight"]
        node.create_dataset("weight", (1 << 20, 1 << 20), "f4", chunks=(1 << 13, 1 << 13))
    with pytest.raises(CheckpointError, match="SNNR_READ_LIMIT"):
        snnr.load_nir(path)
    with h5py.File(path, "w") as file:
        file["node"] = 3.0
    with pytest.raises(CheckpointError, match="is no NIR graph"):
        snnr.load_nir(path)
    with h5py.File(path, "w") as file:
        file.create_group("node")["again"] = file["/"]
    with pytest.raises(CheckpointError, match="inside of itself"):
        snnr.load_nir(path)


def test_a_resistance_goes_into_the_weights(tmp_path: Path) -> None:
    ones = np.ones(2, np.float32)
    node = nir.LIF(tau=ones * 3e-4, r=ones * 6, v_leak=ones * 0, v_threshold=ones)
    linear = nir.Linear(weight=np.array([[1, 2], [3, 4]], np.float32))
    nir.write(tmp_path / "n.nir", nir.NIRGraph.from_list(linear, node))
    back = snnr.load_nir(tmp_path / "n.nir")
    np.testing.assert_array_equal(back[1].weight.numpy(), [[6, 12], [18, 24]])
    assert back[2].tau == 3


PEER = """
import json, sys, nir, numpy, torch
path, images, framework = sys.argv[1:]
x, T = torch.from_numpy(numpy.load(images)), 4
graph = nir.read(path)
if framework == "snntorch":
    from snntorch.import_nir import import_from_nir as load
else:
    import norse.torch
    load = lambda g: norse.torch.from_nir(g, dt=1e-4)
rates = []
for image in x if "flatten" in " ".join(graph.nodes) else [x]:
    net, state, total = load(nir.read(path)), None, 0
    with torch.no_grad():
        for _ in range(T):
            out, state = net(image, state)
            total = total + out
    rates.append((total / T).numpy().tolist())
print("rates", json.dumps(rates if len(rates) > 1 else rates[0]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("SNNR_PEER_PYTHON"), reason="SNNR_PEER_PYTHON is not set")
@pytest.mark.parametrize("framework", ["snntorch", "norse"])
@pytest.mark.parametrize("spec", ["fc20-lif-fc5-lif", "4c3s2-bn-lif-fc5-lif"])
def test_others_fire_alike(framework: str, spec: str, tmp_path: Path, pixels: np.ndarray) -> None:
    """SNNR_PEER_PYTHON is an interpreter that has nir, snntorch and norse."""
    net = network(spec)
    images = normalised(pixels)
    path = write_nir(net, tmp_path / "n.nir", input_shape=(2, 9, 8))
    _, wanted = dense_spikes(net, images)
    shape = images.reshape(40, -1) if spec.startswith("fc") else images
    np.save(tmp_path / "x.npy", shape)
    done = subprocess.run(
        [os.environ["SNNR_PEER_PYTHON"], "-c", PEER, path, tmp_path / "x.npy", framework],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("rates "))
    rates = np.array(json.loads(line.removeprefix("rates ")))
    # sums are made in another order: a potential within rounding of its threshold may differ
    assert (np.abs(rates - wanted) < 1e-6).mean() > 0.985
