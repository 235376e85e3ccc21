"""The compiled network gives the spikes of the dense one, whatever comes in."""

import threading
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

import snnr
from snnr import nn
from snnr.errors import ConfigError, ShapeError

from .oracle import Oracle, rounded, sparse_weights

SHAPE = (1, 9, 7)


def fc(T: int = 5, **neuron: Any) -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(63, 90), nn.LIF(**neuron), nn.Dropout(0.5), nn.Linear(90, 12),
        nn.LIF(**neuron), nn.Voting(4), T=T,
    )  # fmt: skip


def conv(T: int = 5, **neuron: Any) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 6, padding=1), nn.BatchNorm2d(6), nn.LIF(**neuron), nn.MaxPool2d(2),
        nn.Sequential(nn.Conv2d(6, 5, padding=1, bias=False), nn.LIF(**neuron), nn.MaxPool2d(2)),
        nn.Flatten(), nn.Linear(10, 3), nn.IF(), T=T,
    )  # fmt: skip


def strided(T: int = 5, **neuron: Any) -> nn.Sequential:
    """Strides, windows that overlap, averages, no padding, neurons behind pooling."""
    return nn.Sequential(
        nn.Conv2d(1, 4, stride=2, padding=2), nn.LIF(**neuron), nn.AvgPool2d(2, 1),
        nn.Conv2d(4, 4, kernel_size=2), nn.MaxPool2d(2, 1), nn.IF(), nn.MaxPool2d(1),
        nn.AvgPool2d(1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(24, 7), nn.BatchNorm1d(7),
        nn.LIF(**neuron),
        nn.Linear(7, 3), T=T,
    )  # fmt: skip


NETWORKS = {"fc": fc, "conv": conv, "strided": strided}
NEURONS: dict[str, dict[str, Any]] = {
    "hard": {},
    "soft": {"v_reset": None},
    "raised": {"v_reset": 0.25, "v_threshold": 0.75, "decay_input": False},
    "slow": {"tau": 4.0, "v_reset": -0.5},
}


def exact(make: Any, share: float = 0.3, seed: int = 0, **options: Any) -> nn.Sequential:
    network = make(**options).eval()
    sparse_weights(network, np.random.default_rng(seed), share)
    return network


def dense(network: nn.Sequential, x: np.ndarray, sequence: bool = False) -> np.ndarray:
    tensor = snnr.Tensor(x, timesteps=len(x)) if sequence else snnr.Tensor(x)
    with snnr.no_grad():
        return network(tensor).numpy()


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("make", NETWORKS)
def test_images_give_the_spikes_of_the_dense_network(make: str, neuron: str) -> None:
    network = exact(NETWORKS[make], 0.6, **NEURONS[neuron])
    engine = snnr.compile(network, input_shape=SHAPE)
    x = rounded(np.random.default_rng(1), (37, *SHAPE))
    wanted = dense(network, x)
    oracle = Oracle(network)
    np.testing.assert_allclose(oracle.run(np.stack([x] * 5)), wanted, rtol=1e-5)
    for spikes in list(oracle.seen.values())[:-1]:
        assert 0.005 < np.mean(spikes) < 0.98
    for count in (37, 1, 2, 3, 9, 0):
        found = engine.spikes(x[:count])
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted[:, :count])
        np.testing.assert_array_equal(engine.rates(x[:count]), dense_rates(wanted[:, :count]))
    np.testing.assert_array_equal(engine.spikes(x[4]), wanted[:, 4])
    assert engine.predict(x[4]) == engine.predict(x)[4] == dense_rates(wanted)[4].argmax()


def dense_rates(outputs: np.ndarray) -> np.ndarray:
    total = outputs[0].astype(np.float32)
    for step in outputs[1:]:
        total = total + step.astype(np.float32)
    return total / np.float32(len(outputs))


@pytest.mark.parametrize("T", [1, 2, 16, 17, 63, 64, 65, 130])
@pytest.mark.parametrize("make", ["fc", "conv"])
def test_any_number_of_steps(make: str, T: int) -> None:
    network = exact(NETWORKS[make], T=T, seed=2)
    engine = snnr.compile(network)
    x = rounded(np.random.default_rng(3), (5, *SHAPE))
    wanted = dense(network, x)
    np.testing.assert_array_equal(engine.spikes(x), wanted)
    np.testing.assert_array_equal(engine.spikes(x[:1]), wanted[:, :1])


@pytest.mark.parametrize("kind", ["spikes", "floats"])
@pytest.mark.parametrize("neuron", ["hard", "soft"])
@pytest.mark.parametrize("make", NETWORKS)
def test_sequences_in_pieces_are_the_whole(make: str, neuron: str, kind: str) -> None:
    network = exact(NETWORKS[make], seed=4, **NEURONS[neuron])
    engine = snnr.compile(network)
    rng = np.random.default_rng(5)
    if kind == "spikes":
        x = (rng.random((11, 6, *SHAPE)) < 0.4).astype(np.uint8)
    else:
        x = rounded(rng, (11, 6, *SHAPE))
    wanted = dense(network, x, sequence=True)
    whole, state = engine.run(x)
    np.testing.assert_array_equal(whole, wanted)
    first, between = engine.run(x[:4])
    kept = between.values.copy()
    outputs = [first]
    after = between
    for step in x[4:]:
        out, after = engine.step(step, after)
        outputs.append(out[None])
    np.testing.assert_array_equal(np.concatenate(outputs), wanted)
    np.testing.assert_array_equal(between.values, kept)  # a state is never changed
    np.testing.assert_array_equal(after.values, state.values)
    oracle = Oracle(network)
    oracle.run(x)
    for layer, left in engine.form.neurons.items():
        potentials = state.potentials(layer)
        assert potentials[0].size == left
        stage = next(s for s in engine.form.stages if s.neuron_name == layer)
        told = oracle.v[layer].reshape(6, stage.channels, -1)[:, stage.kept]
        np.testing.assert_allclose(potentials.reshape(told.shape), told, rtol=1e-5, atol=1e-6)


def test_many_streams_and_long_recordings() -> None:
    network = exact(fc, seed=6)
    engine = snnr.compile(network)
    x = (np.random.default_rng(7).random((150, 70, *SHAPE)) < 0.3).astype(np.uint8)
    found, state = engine.run(x)
    np.testing.assert_array_equal(found, dense(network, x, sequence=True))
    assert state.potentials("2_lif").shape[0] == 70


def test_groups_of_every_size_on_any_number_of_threads() -> None:
    network = exact(conv, seed=8)
    engine = snnr.compile(network)
    x = rounded(np.random.default_rng(9), (150, *SHAPE))
    wanted = dense(network, x)
    most = numba.get_num_threads()
    try:
        for threads in {1, most}:
            numba.set_num_threads(threads)
            for count in (150, 129, 128, 65, 33):
                np.testing.assert_array_equal(engine.spikes(x[:count]), wanted[:, :count])
    finally:
        numba.set_num_threads(most)


def test_an_engine_serves_several_threads() -> None:
    engine = snnr.compile(exact(conv, seed=10))
    x = rounded(np.random.default_rng(11), (40, *SHAPE))
    wanted = engine.spikes(x)
    wrong: list[int] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(60):
            i = int(rng.integers(0, 39))
            j = int(rng.integers(i + 1, 41))
            if not np.array_equal(engine.spikes(x[i:j]), wanted[:, i:j]):
                wrong.append(seed)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


@pytest.mark.parametrize("make", ["mnist_fc", "csnn", "cifar10_conv"])
def test_the_papers_networks(make: str) -> None:
    options: dict[str, Any] = {"T": 4, "input_shape": (3, 12, 12)}
    if make == "mnist_fc":
        options |= {"hidden": 50}
    else:
        options |= {"channels": 10, "hidden": 70}
    network = getattr(snnr.models, make)(**options).eval()
    sparse_weights(network, np.random.default_rng(12), 0.2)
    x = rounded(np.random.default_rng(13), (21, 3, 12, 12))
    np.testing.assert_array_equal(snnr.compile(network).spikes(x), dense(network, x))


def test_weights_that_are_not_round_differ_only_at_the_threshold() -> None:
    rng = np.random.default_rng(14)
    network = conv(T=6).eval()
    for layer in network.layers():
        for short, array in layer.arrays().items():
            if short == "weight":
                array.assign((rng.normal(size=array.shape) * 0.9).astype(np.float32))
            elif short == "running_var":
                array.assign(rng.uniform(0.5, 2, array.shape).astype(np.float32))
    x = rng.normal(size=(300, *SHAPE)).astype(np.float32)
    told = snnr.compile(network).compare(x)
    assert told.images == 300
    assert told.spikes == 6 * 300 * (6 * 63 + 5 * 12 + 3)
    assert set(told.differing) == {"2_lif", "4_sequential.1_lif", "7_if"}
    assert told.margin < 1e-5
    assert told.predictions <= sum(told.differing.values())


def test_compare_sees_what_differs() -> None:
    network = exact(fc, seed=15)
    engine = snnr.compile(network)
    x = rounded(np.random.default_rng(16), (10, *SHAPE))
    told = engine.compare(x)
    assert (sum(told.differing.values()), told.predictions, told.margin) == (0, 0, 0)
    other = exact(fc, seed=17)
    told = engine.compare(x, other)
    assert min(told.differing.values()) > 0
    assert told.margin > 0.01
    assert not other.training


def test_the_margin_of_each_image_is_that_of_its_first_layer_that_differs() -> None:
    def two_layers(first: list[list[float]], second: list[list[float]]) -> nn.Sequential:
        net = nn.Sequential(
            nn.Flatten(), nn.Linear(2, 2, bias=False), nn.IF(), nn.Linear(2, 1, bias=False),
            nn.IF(), T=1,
        )  # fmt: skip
        net[1].weight.assign(np.array(first))
        net[3].weight.assign(np.array(second))
        return net

    compiled = snnr.compile(two_layers([[1.5, 0], [0, 1.5]], [[5, 3]]), input_shape=(1, 1, 2))
    dense = two_layers([[0.75, 0], [0, 1.5]], [[5, 0.5]])
    x = np.eye(2, dtype=np.float32).reshape(2, 1, 1, 2)
    # one differs at once, by 0.5, and then by 4, which follows from it; the other by 2 behind that
    assert compiled.compare(x, dense).margin == 2
    assert compiled.compare(x[:1], dense).margin == 0.5
    assert compiled.compare(x[1:], dense).margin == 2


def test_the_margin_at_the_edge_of_a_padded_image() -> None:
    def filtered(kernel: np.ndarray) -> nn.Sequential:
        net = nn.Sequential(
            nn.Conv2d(1, 1, 1, bias=False), nn.IF(), nn.Conv2d(1, 1, padding=1, bias=False),
            nn.IF(), nn.Flatten(), T=1,
        )  # fmt: skip
        net[0].weight.assign(np.full((1, 1, 1, 1), 2))
        net[2].weight.assign(kernel.reshape(1, 1, 3, 3))
        return net

    kernel = np.array([[-5, 1, 0.5], [0.25, 1, 2], [-1, 0.75, 1]])
    spikes = np.array([[1, 0, 1, 1], [1, 1, 0, 1], [0, 1, 1, 1]])
    padded = np.pad(spikes, 1)
    current = [(padded[y : y + 3, x : x + 3] * kernel).sum() for y in range(3) for x in range(4)]
    told = snnr.compile(filtered(kernel), input_shape=(1, 3, 4)).compare(
        spikes[None, None].astype(np.float32), filtered(np.zeros((3, 3)))
    )
    fired = [h for h in current if h >= 1]
    assert told.differing == {"1_if": 0, "3_if": len(fired)}
    assert told.margin == max(fired) - 1


def test_stats_count_what_the_network_does() -> None:
    network = exact(conv, seed=18)
    # so that nothing is removed
    network[6].weight.assign(np.full((3, 10), 0.5, np.float32))
    network[4][0].weight.assign(np.full((5, 6, 3, 3), 0.5, np.float32))
    network[0].bias.assign(np.full(6, 0.5, np.float32))
    network[1].shift.assign(np.full(6, 1.5, np.float32))
    engine = snnr.compile(network)
    x = rounded(np.random.default_rng(19), (20, *SHAPE))
    counter = snnr.activity.ActivityCounter(network)
    with snnr.no_grad(), counter.watching():
        network(snnr.Tensor(x))
    wanted = counter.result()
    told = engine.stats(x)
    assert told.silent == told.unneeded == {}
    assert told.images == 20
    assert told.synaptic_operations == wanted.synaptic_operations
    assert told.multiply_accumulates == {"0_conv2d": 63 * np.count_nonzero(network[0].weight.data)}
    assert told.firing_rates == pytest.approx(
        {name: n.firing_rate for name, n in wanted.neurons.items()}
    )
    assert told.silent_shares == {name: n.silent for name, n in wanted.neurons.items()}
    assert told.neurons == {name: n.neurons for name, n in wanted.neurons.items()}
    assert told.connections["6_linear"] == 30


def test_raw_images_are_normalised_as_in_training(tmp_path: Path) -> None:
    for count, options in ((3, {}), (1, {"hidden": 40})):
        shape = (count, 12, 12)
        name = "mnist_fc" if options else "csnn"
        small = options or {"channels": 8, "hidden": 50}
        network = getattr(snnr.models, name)(T=4, input_shape=shape, **small).eval()
        sparse_weights(network, np.random.default_rng(20), 0.3)
        rng = np.random.default_rng(21)
        mean, std = rng.uniform(0.1, 0.5, count), rng.uniform(0.2, 0.5, count)
        about = {"image_shape": list(shape), "mean": mean.tolist(), "std": std.tolist()}
        snnr.save(tmp_path / "c.h5", network, config={"data": about})
        engine = snnr.compile(tmp_path / "c.h5")
        raw = (rng.integers(0, 256, (30, *shape)) * (rng.random((30, *shape)) < 0.4)).astype("u1")
        source = snnr.input.Images(raw, mean, std)
        floats = source.batch(np.arange(30)).numpy()
        for images in (raw, floats, raw[:1], floats[:1]):
            told = engine.compare(images, network)
            assert told.margin < 1e-5
        np.testing.assert_array_equal(engine.spikes(raw), engine.spikes(floats))
        assert told.images == 1


def test_what_does_not_fit_is_refused() -> None:
    engine = snnr.compile(exact(fc))
    x = np.zeros((2, *SHAPE), np.float32)
    for images in (x[:, :, :5], x[0, 0], np.zeros((2, 64), np.float32), np.float32(1)):
        with pytest.raises(ShapeError, match="images"):
            engine.rates(images)
    with pytest.raises(ShapeError, match="raw"):
        engine.rates(x.astype(np.uint8))
    with pytest.raises(ShapeError, match="int64"):
        engine.rates(x.astype(np.int64))
    np.testing.assert_array_equal(engine.rates(x.astype(np.float64)), engine.rates(x))
    for sequence in (x[0], np.zeros((3, 2, 8), np.uint8)):
        with pytest.raises(ShapeError, match="sequence"):
            engine.run(sequence)
    with pytest.raises(ShapeError, match="0 or 1"):
        engine.run(np.full((3, 2, 63), 2, np.uint8))
    out, state = engine.run(np.zeros((3, 2, 63), np.uint8))
    assert out.shape == (3, 2, 3)
    with pytest.raises(ShapeError, match="2 streams"):
        engine.step(np.zeros((5, 63), np.uint8), state)
    other = snnr.compile(exact(fc, seed=1))
    with pytest.raises(ShapeError, match="another network"):
        other.step(np.zeros((2, 63), np.uint8), state)
    with pytest.raises(ConfigError, match=r"2_lif, 5_lif"):
        state.potentials("9_lif")
    images = snnr.compile(exact(conv))
    with pytest.raises(ConfigError, match="input_shape"):
        images.stats()
    with pytest.raises(ShapeError, match="N, C, H, W"):
        images.rates(np.zeros((4, 63), np.float32))
    assert snnr.compile(exact(conv), input_shape=SHAPE).stats().images == 0
