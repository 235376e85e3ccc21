"""What is compiled: the form of a network, what is taken out of it, and what is refused."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import snnr
from snnr import nn
from snnr.errors import CheckpointError, ConfigError, ShapeError
from snnr.functional import if_neuron, lif_neuron
from snnr.sparse.form import form_of
from snnr.sparse.kernels.lanes import critical_currents
from snnr.sparse.removal import never_fires
from snnr.sparse.source import read

from .oracle import rounded, sparse_weights


def pair(w1: Any, w2: Any, bias: Any = None, **neuron: Any) -> nn.Sequential:
    """Two linear layers with these weights."""
    w1, w2 = np.array(w1, np.float32), np.array(w2, np.float32)
    network = nn.Sequential(
        nn.Linear(w1.shape[1], w1.shape[0], bias=bias is not None), nn.LIF(**neuron),
        nn.Linear(w2.shape[1], w2.shape[0], bias=False), nn.LIF(), T=6,
    )  # fmt: skip
    network[0].weight.assign(w1)
    network[2].weight.assign(w2)
    if bias is not None:
        network[0].bias.assign(np.array(bias, np.float32))
    return network.eval()


def same(network: nn.Sequential, *shape: int) -> snnr.sparse.Form:
    engine = snnr.compile(network)
    x = rounded(np.random.default_rng(0), (50, *shape))
    with snnr.no_grad():
        wanted = network(snnr.Tensor(x)).numpy()
    np.testing.assert_array_equal(engine.spikes(x), wanted)
    return engine.form


def test_a_neuron_without_connections_goes_if_it_never_fires() -> None:
    w1 = [[1, 0, 2], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 3, 0]]
    w2 = [[1, 2, 2, 2, 1], [1, 2, 2, 2, 0]]
    # LIF with tau 2: a constant current of 1 comes close to the threshold and never gets there in
    # exact numbers; in float32 it does
    form = same(pair(w1, w2, bias=[0, 0.5, 1.5, -1, 0]), 3)
    assert form.silent["1_lif"].tolist() == [1, 3]
    assert form.stages[0].kept.tolist() == [0, 2, 4]
    assert form.stages[1].weight is not None
    assert form.stages[1].weight.dense().tolist() == [[1, 2, 1], [1, 2, 0]]


def test_a_neuron_that_nothing_reads_goes_and_so_does_what_feeds_it_alone() -> None:
    network = nn.Sequential(
        nn.Linear(4, 3, bias=False), nn.LIF(), nn.Linear(3, 3, bias=False), nn.LIF(),
        nn.Linear(3, 2, bias=False), nn.LIF(), T=4,
    ).eval()  # fmt: skip
    network[0].weight.assign(rounded(np.random.default_rng(1), (3, 4)) + np.float32(2))
    network[2].weight.assign(np.array([[2, 0, 0], [2, 2, 2], [3, 2, 0]], np.float32))
    network[4].weight.assign(np.array([[2, 0, 1], [2, 0, 3]], np.float32))
    form = same(network, 4)
    assert form.unneeded["3_lif"].tolist() == [1]
    assert form.unneeded["1_lif"].tolist() == [2]
    assert not form.silent
    assert form.nonzero == 8 + 3 + 4


def test_a_neuron_of_negative_connections_never_fires() -> None:
    w1, w2 = np.eye(3), [[1, 1, 1], [1, 0, 1]]
    network = nn.Sequential(
        *pair(w1, w2).in_order[:3], nn.LIF(), nn.Linear(2, 2, bias=False), nn.LIF(),
        nn.Linear(2, 2, bias=False), nn.IF(), T=6,
    ).eval()  # fmt: skip
    network[4].weight.assign(np.array([[-1, -2], [2, -5]], np.float32))
    network[6].weight.assign(np.array([[4, 1], [1, 1]], np.float32))
    form = same(network, 3)
    assert form.silent == {"5_lif": pytest.approx([0])}


def test_silent_channels_of_images_go_through_pooling() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 4, padding=1), nn.BatchNorm2d(4), nn.LIF(), nn.MaxPool2d(2),
        nn.Conv2d(4, 3), nn.LIF(), nn.Flatten(), nn.Linear(12, 5), nn.LIF(), T=4,
    ).eval()  # fmt: skip
    rng = np.random.default_rng(2)
    sparse_weights(network, rng, 0.8)
    w = network[0].weight.numpy().copy()
    w[[1, 2]] = 0
    network[0].weight.assign(w)
    network[0].bias.assign(np.zeros(4, np.float32))
    for name, values in (("running_mean", [0, 0, 0, 0]), ("shift", [0, 0.5, 4, 0])):
        getattr(network[1], name).assign(np.array(values, np.float32))
    w = network[7].weight.numpy().copy()
    w[:, 8:] = 0  # of the last channel
    network[7].weight.assign(w)
    form = same(network, 1, 8, 8)
    assert form.silent["2_lif"].tolist() == [1]
    assert form.unneeded["5_lif"].tolist() == [2]
    shapes = [(stage.input_shape, stage.output_shape) for stage in form.stages]
    assert shapes == [((1, 8, 8), (3, 4, 4)), ((3, 4, 4), (2, 2, 2)), ((8,), (5,))]


def test_a_network_of_nothing_but_silence() -> None:
    network = pair(np.zeros((4, 3)), np.zeros((2, 4)))
    form = same(network, 3)
    assert form.nonzero == 0
    network[0].weight.assign(np.ones((4, 3), np.float32))
    same(network, 3)


@pytest.mark.parametrize("neuron", [
    lif_neuron(), lif_neuron(tau=7.0, v_threshold=0.3, v_reset=-0.4), if_neuron(v_threshold=2.0),
    lif_neuron(tau=1.5, decay_input=False, v_reset=0.5), lif_neuron(v_threshold=-0.5, v_reset=-2.0),
])  # fmt: skip
def test_critical_currents_are_the_very_numbers(neuron: Any) -> None:
    """One float32 below them the neuron fires a step later, or never."""
    steps = 9
    found = critical_currents(neuron, steps)
    assert found.dtype == np.float32
    assert (np.diff(found) <= 0).all()
    n = {k: np.float32(getattr(neuron, k)) for k in ("decay", "drive", "rest")}

    def first(current: np.float32) -> int:
        v = np.float32(neuron.v_reset)
        for t in range(1, steps + 1):
            v = n["decay"] * v + n["drive"] * current + n["rest"]
            if v >= np.float32(neuron.v_threshold):
                return t
        return steps + 1

    for k, current in enumerate(found, 1):
        assert first(current) <= k
        assert first(np.nextafter(current, np.float32(-np.inf))) > k


def test_never_fires_holds_for_ever() -> None:
    currents = np.array([-1, 0, 0.5, 0.99, 1.01, 2], np.float32)
    told = never_fires(lif_neuron(), currents)
    assert told.tolist() == [True, True, True, True, False, False]
    # without leak any current gets there in the end
    told = never_fires(if_neuron(), np.array([-1, 0, 1e-3, 1e-7], np.float32))
    assert told.tolist() == [True, True, False, False]


class Doubling(nn.Layer):
    def forward(self, x: snnr.Tensor) -> snnr.Tensor:
        return x


def test_what_cannot_be_compiled_is_named() -> None:
    linear = nn.Linear(3, 3)
    with pytest.raises(ConfigError, match=r"1_doubling.*register"):
        snnr.compile(nn.Sequential(linear, Doubling(), nn.LIF(), T=2))
    with pytest.raises(ConfigError, match="no neurons"):
        snnr.compile(nn.Sequential(linear, T=2))
    with pytest.raises(ConfigError, match=r"1_lif \(LIF\).*smooth"):
        snnr.compile(nn.Sequential(linear, nn.LIF(smooth=True), T=2))
    with pytest.raises(ConfigError, match=r"2_voting.*last"):
        snnr.compile(nn.Sequential(linear, nn.LIF(), nn.Voting(3), nn.Linear(1, 2), T=2))
    with pytest.raises(ConfigError, match="wrap it"):
        snnr.compile(linear)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"2_linear takes samples of \[4\]"):
        snnr.compile(nn.Sequential(linear, nn.LIF(), nn.Linear(4, 2), T=2))
    engine = snnr.compile(nn.Sequential(nn.Linear(3, 3), nn.LIF()))
    with pytest.raises(ConfigError, match="T"):
        engine.rates(np.zeros((1, 3), np.float32))
    assert engine.run(np.zeros((2, 1, 3), np.uint8))[0].shape == (2, 1, 3)
    linear.weight.assign(np.full((3, 3), np.inf, np.float32))
    with pytest.raises(ConfigError, match=r"0_linear.weight.*not finite"):
        snnr.compile(nn.Sequential(linear, nn.LIF(), T=2))


def test_a_registered_layer_is_refused_by_name() -> None:
    kind = type("Tripling", (nn.Layer,), {"forward": lambda self, x: x})
    nn.register(kind)
    try:
        with pytest.raises(ConfigError, match=r"1_tripling \(Tripling\) cannot be compiled"):
            snnr.compile(nn.Sequential(nn.Linear(3, 3), kind(), nn.LIF(), T=2))
    finally:
        del nn.LAYERS["Tripling"]


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    network = snnr.models.csnn(T=3, input_shape=(1, 10, 10), channels=6, hidden=30).eval()
    sparse_weights(network, np.random.default_rng(3), 0.3)
    about = {"image_shape": [1, 10, 10], "mean": [0.5], "std": [0.25]}
    snnr.save(tmp_path / "checkpoint.h5", network, config={"data": about})
    return tmp_path


def test_a_file_and_its_network_are_the_same_form(stored: Path) -> None:
    network = snnr.load(stored).network
    from_file, from_network = snnr.compile(stored), snnr.compile(network, input_shape=(1, 10, 10))
    for a, b in zip(from_file.form.stages, from_network.form.stages, strict=True):
        assert (a.layers, a.input_shape) == (b.layers, b.input_shape)
        assert a.output_shape == b.output_shape
        assert a.weight is not None
        assert b.weight is not None
        np.testing.assert_array_equal(a.weight.dense(), b.weight.dense())
    x = rounded(np.random.default_rng(4), (9, 1, 10, 10))
    np.testing.assert_array_equal(from_file.spikes(x), from_network.spikes(x))
    with pytest.raises(ConfigError, match=r"network=snnr\.load"):
        from_file.compare(x)
    assert from_file.compare(x, network).margin == 0


@pytest.mark.parametrize(("key", "value"), [
    ("image_shape", [1, 10]), ("image_shape", "wide"), ("image_shape", [1, -3, 10]),
    ("mean", [0.1, 0.2]), ("mean", ["x"]), ("std", [0.0]), ("std", [float("1e99")]),
    ("std", [1e-44]), ("mean", [3e38]), ("mean", [float("1e99")]),
])  # fmt: skip
def test_a_file_that_lies_about_its_data_is_refused(stored: Path, key: str, value: Any) -> None:
    about = {"image_shape": [1, 10, 10], "mean": [0.5], "std": [0.25], key: value}
    network = snnr.load(stored).network
    snnr.save(stored / "lies.h5", network, config={"data": about})
    with pytest.raises(CheckpointError, match=r"lies.h5.*make"):
        snnr.compile(stored / "lies.h5")


def test_a_file_that_was_changed_is_refused(stored: Path) -> None:
    with h5py.File(stored / "checkpoint.h5", "r+") as file:
        indices = file["network/0_conv2d/weight/indices"]
        indices[0] = 1 << 20
    with pytest.raises(CheckpointError, match="indices"):
        snnr.compile(stored)


def test_a_shape_that_the_layers_do_not_take(stored: Path) -> None:
    with pytest.raises(ShapeError, match="10_linear"):
        snnr.compile(stored, input_shape=(1, 20, 20))


def test_a_shape_that_no_network_of_a_spec_may_have(tmp_path: Path) -> None:
    """A file of a few kilobytes that says so would cost gigabytes where it is exported."""
    network = nn.Sequential(nn.Conv2d(2, 4, 3, rng=0), nn.LIF(), T=2)
    data = {"image_shape": [2, 1 << 13, 1 << 13]}
    path = snnr.save(tmp_path / "c.h5", network, config={"data": data})
    for compiled in (snnr.compile, snnr.export.exported):
        with pytest.raises(ConfigError, match=r"1_lif has 268,304,400 numbers .* smaller"):
            compiled(path)
    snnr.compile(path, input_shape=(2, 8, 8))


@pytest.mark.parametrize(
    "change",
    [{"stride": 0}, {"stride": -1}, {"stride": 1 << 40}, {"stride": True}, {"padding": -1},
     {"padding": 1 << 40}, {"groups": 0}, {"groups": 3}, {"groups": "x"}],
    ids=str,
)  # fmt: skip
def test_settings_of_a_convolution_that_make_no_sense(change: dict[str, Any]) -> None:
    """No layer is made of what a file says here, which would notice."""
    described = read(nn.Sequential(nn.Conv2d(2, 4, 3, rng=0), nn.LIF(), T=2))
    first, *rest = described.entries
    changed = replace(first, settings={**first.settings, **change})
    with pytest.raises(ConfigError, match=f"0_conv2d.*{next(iter(change))}"):
        form_of(replace(described, entries=(changed, *rest)), (2, 8, 8))


@pytest.mark.parametrize(
    ("change", "message"),
    [({"eps": -1.0}, r"eps \(=-1.0\) be > 0"), ({"eps": "x"}, "eps"),
     ({"momentum": 2.0}, "momentum"), ({"more": 1}, "more")],
    ids=str,
)  # fmt: skip
def test_settings_of_a_norm_that_make_no_sense(change: dict[str, Any], message: str) -> None:
    """Found by the guided fuzz: an eps of -1 went into the header as ``nan.0f``."""
    described = read(nn.Sequential(nn.Linear(2, 4, rng=0), nn.BatchNorm1d(4), nn.LIF(), T=2))
    first, norm, last = described.entries
    changed = replace(norm, settings={**norm.settings, **change})
    with pytest.raises(ConfigError, match=rf"1_batchnorm1d \(BatchNorm1d\) cannot .*{message}"):
        form_of(replace(described, entries=(first, changed, last)), (2,))


def test_a_norm_beyond_float32_is_refused() -> None:
    norm = nn.BatchNorm1d(4)
    network = nn.Sequential(nn.Linear(2, 4, rng=0), norm, nn.LIF(), T=2)
    norm.running_var.assign(np.zeros(4, np.float32))
    norm.scale.assign(np.array([1, 1, 3e38, 1], np.float32))
    with pytest.raises(ConfigError, match=r"1_batchnorm1d .* not finite"):
        snnr.compile(network)
    norm.scale.assign(np.ones(4, np.float32))
    norm.running_mean.assign(np.full(4, 3e38, np.float32))
    with pytest.raises(ConfigError, match=r"1_batchnorm1d .* not finite"):
        snnr.compile(network)
    norm.running_mean.assign(np.zeros(4, np.float32))
    assert snnr.compile(network).form.stages[0].gain == pytest.approx(1 / np.sqrt(1e-5))


def test_compiling_needs_no_training_and_no_command_line(stored: Path) -> None:
    script = (
        "import json, sys; sys.modules['scipy'] = None; import snnr, numpy as np;"
        "e = snnr.compile(sys.argv[1]);"
        "e.rates(np.zeros((1, 1, 10, 10), np.float32));"
        "print(json.dumps([m for m in ('click', 'snnr.training', 'snnr.input', "
        "'snnr.data', 'matplotlib') if m in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(stored)],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
