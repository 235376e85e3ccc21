"""The C export, compiled and run: the spikes of the dense network, of every layer at every step."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnr
from snnr import nn
from snnr.errors import ConfigError, ShapeError
from snnr.export import exported, write_c
from snnr.export.c import Answers, Written
from snnr.export.c.check import STRICT, compiler

from .networks import MEAN, SPECS, STD, dense_spikes, network, normalised

needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C compiler")
SANITIZED = (*STRICT, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover")
#: an image whose nearest potential is closer to its threshold than this is in doubt
ROUNDING = 1e-5

pytestmark = pytest.mark.filterwarnings("error")


def same(a: Answers, b: Answers) -> None:
    np.testing.assert_array_equal(a.outputs, b.outputs)
    for one, other in zip(a.spikes, b.spikes, strict=True):
        np.testing.assert_array_equal(one, other)


def written(spec: str, folder: Path, quantize: str | None = None, **options: Any) -> Written:
    given = {"mean": MEAN, "std": STD, "input_shape": (2, 9, 8), **options}
    net = network(SPECS.get(spec, spec))
    return write_c(net, folder / "n.h", "n", quantize, **given)


@needs_compiler
@pytest.mark.parametrize("spec", SPECS)
def test_float_fires_as_the_dense_network(spec: str, tmp_path: Path, pixels: np.ndarray) -> None:
    found = written(spec, tmp_path)
    told = found.check(pixels, SANITIZED)
    emulated = found.emulate(pixels)
    same(told, emulated)
    sure = emulated.margins > ROUNDING
    assert sure.mean() > 0.6
    net = network(SPECS[spec])
    fired = [layer.mean() for layer in told.spikes]
    assert all(0.01 < rate < 0.9 for rate in fired), fired
    stages = [s for s in exported(net, (2, 9, 8)).form.stages if s.neuron is not None]
    dense, rates = dense_spikes(net, normalised(pixels))
    for stage, spikes in zip(stages, told.spikes, strict=True):
        wanted = dense[stage.neuron_name][:, :, stage.kept].swapaxes(0, 1)
        assert wanted[:, :, 0].size  # a channel is left
        np.testing.assert_array_equal(spikes[sure], wanted.reshape(spikes.shape)[sure])
    np.testing.assert_allclose(told.outputs * found.program.scale, rates, rtol=0, atol=1e-6)


@needs_compiler
@pytest.mark.parametrize("quantize", ["int8", "int16"])
@pytest.mark.parametrize("spec", SPECS)
def test_fixed_point_is_what_was_worked_out(
    spec: str, quantize: str, tmp_path: Path, pixels: np.ndarray
) -> None:
    found = written(spec, tmp_path, quantize)
    told = found.check(pixels, SANITIZED)
    same(told, found.emulate(pixels))
    exact = written(spec, tmp_path).emulate(pixels)
    differing = [(a != b).mean() for a, b in zip(told.spikes, exact.spikes, strict=True)]
    assert differing[0] < (0.02 if quantize == "int8" else 0.002)
    assert max(differing) < (0.15 if quantize == "int8" else 0.02), differing


@needs_compiler
@pytest.mark.parametrize("T", [1, 9, 33, 64])
def test_words_of_spikes(T: int, tmp_path: Path, pixels: np.ndarray) -> None:
    net = network(SPECS["conv"], T=T)
    for quantize in (None, "int8"):
        found = write_c(net, tmp_path / "n.h", "n", quantize, input_shape=(2, 9, 8), mean=MEAN,
                        std=STD)  # fmt: skip
        same(found.check(pixels[:5]), found.emulate(pixels[:5]))
        assert selftest(found, tmp_path) == "0 of 2 golden vectors differ\n"


def selftest(found: Written, folder: Path, *flags: str) -> str:
    """What the header's own main says."""
    source = folder / "main.c"
    source.write_text(f'#define N_MAIN\n#include "{found.path.name}"\n')
    compile_ = [compiler(), *STRICT, *flags, source, "-o", folder / "main"]
    subprocess.run([str(part) for part in compile_], check=True)
    done = subprocess.run([folder / "main"], capture_output=True, text=True, check=False)
    return done.stdout


@needs_compiler
def test_golden_vectors_notice(tmp_path: Path, pixels: np.ndarray) -> None:
    found = written("conv", tmp_path, "int16", golden=3, images=pixels)
    assert selftest(found, tmp_path) == "0 of 3 golden vectors differ\n"
    text = found.header.text
    start = text.index("n_weights0[")
    place = text.index(" 32767,", start)
    found.path.write_text(text[:place] + " -32767," + text[place + 7 :])
    assert selftest(found, tmp_path)[0] in "123"


@pytest.mark.parametrize(
    ("mean", "std"),
    [([0.5], [0.2]), (MEAN, [0.0, 0.2]), (MEAN, [np.nan, 0.2]), (MEAN, [np.inf, 0.2]),
     ([np.inf, 0.5], STD), (MEAN, [1e-44, 0.2]), ([3e38, 0.5], STD), ([1e99, 0.5], STD)],
)  # fmt: skip
def test_pixels_that_would_not_be_finite_are_refused(
    tmp_path: Path, mean: list[float], std: list[float]
) -> None:
    with pytest.raises(ConfigError, match="one for each of 2 channels, std above 0, and pixels"):
        write_c(network(SPECS["conv"]), tmp_path / "n.h", input_shape=(2, 9, 8), mean=mean, std=std)
    assert not (tmp_path / "n.h").exists()


@needs_compiler
def test_floats_without_a_normalisation(tmp_path: Path, pixels: np.ndarray) -> None:
    net = network(SPECS["conv"])
    found = write_c(net, tmp_path / "n.h", "n", input_shape=(2, 9, 8))
    images = normalised(pixels)
    told = found.check(images, SANITIZED)
    same(told, written("conv", tmp_path).emulate(pixels))
    with pytest.raises(ShapeError, match="expected float32"):
        found.check(pixels)
    with pytest.raises(ConfigError, match="mean and std"):
        write_c(net, tmp_path / "n.h", quantize="int8", input_shape=(2, 9, 8))


@needs_compiler
def test_layers_without_neurons_between(tmp_path: Path, pixels: np.ndarray) -> None:
    """In floating point: pooled currents, and an output that is no spike."""
    spec = "6c3-ap2-bn-lif-mp2-4c3-mp2-lif-fc7-bn-fc5"
    found = written(spec, tmp_path)
    told = found.check(pixels, SANITIZED)
    emulated = found.emulate(pixels)
    same(told, emulated)
    sure = emulated.margins > ROUNDING
    _, rates = dense_spikes(network(spec), normalised(pixels))
    np.testing.assert_allclose(
        told.outputs[sure] * found.program.scale, rates[sure], rtol=1e-4, atol=1e-4
    )
    with pytest.raises(ConfigError, match=r"0_conv2d has no neurons behind it"):
        written(spec, tmp_path, "int8")


def test_one_scale_for_a_layer(tmp_path: Path) -> None:
    each, all_ = (written("fc", tmp_path, "int8", per=per) for per in ("channel", "layer"))
    assert "threshold" not in all_.header.text.split("_fire")[0]
    assert all_.flash < each.flash


def test_what_cannot_be_written(tmp_path: Path) -> None:
    for options, told in (
        ({"quantize": "int4"}, "int8, int16"),
        ({"per": "row"}, "channel or layer"),
        ({"prefix": "9lives"}, "identifier"),
        ({"prefix": "while"}, "identifier"),
        ({"golden": 0}, "golden"),
        ({"T": 65}, "exceeds 64"),
        ({"mean": (0.1,)}, "each of 2 channels"),
        ({"std": None}, "both or neither"),
    ):
        given: dict[str, Any] = {"mean": MEAN, "std": STD, "input_shape": (2, 9, 8), **options}
        with pytest.raises(ConfigError, match=told):
            write_c(network(SPECS["fc"]), tmp_path / "no.h", **given)
    with pytest.raises(ShapeError, match=r"uint8 \[N, 2, 9, 8\]"):
        written("fc", tmp_path, images=np.zeros((2, 9, 8), np.uint8))
    with pytest.raises(ConfigError, match="pools raw images"):
        written("mp2-fc5-lif", tmp_path)
    assert not (tmp_path / "no.h").exists()


@needs_compiler
@pytest.mark.parametrize(("images", "epochs"), [
    (300, 6), pytest.param(10_000, 12, marks=pytest.mark.slow),
])  # fmt: skip
def test_mnist(images: int, epochs: int, tmp_path: Path) -> None:
    """Trained on the real MNIST: spikes, accuracy in fixed point, and bytes."""
    quick = images < 10_000
    data = snnr.data.load("mnist", limit_train=1280 if quick else None)
    net = snnr.models.mnist_fc(T=8, hidden=100 if quick else 800)
    lr, prior = (5e-3, 0.03) if quick else (1e-3, 0.3)
    optimizer = snnr.optim.GradR(net.parameters(), lr=lr, prior=prior)
    trainer = snnr.Trainer(net, optimizer, data, 128, epochs, checkpoint=tmp_path / "c.h5")
    trainer.fit()
    x, y = data.x_test[:images], data.y_test[:images]
    exact = write_c(tmp_path / "c.h5", tmp_path / "f.h", images=x)
    told, emulated = exact.check(x), exact.emulate(x)
    same(told, emulated)
    scaled = (x.astype(np.float32) / np.float32(255) - np.float32(data.mean)) / np.float32(data.std)
    dense, rates = dense_spikes(net.eval(), scaled.astype(np.float32))
    sure = emulated.margins > ROUNDING
    assert sure.mean() > 0.95
    hidden = exported(tmp_path / "c.h5").form.stages[0]
    wanted = dense[hidden.neuron_name][:, :, hidden.kept].swapaxes(0, 1)
    np.testing.assert_array_equal(told.spikes[0][sure], wanted[sure])
    np.testing.assert_array_equal(told.outputs[sure] / 8, rates[sure])
    right = (told.labels() == y).mean()
    small = write_c(tmp_path / "c.h5", tmp_path / "q.h", quantize="int8", images=x)
    loss = right - (small.check(x).labels() == y).mean()
    print(f"accuracy {right:.4f}, int8 loses {100 * loss:.2f} points; tables {small.flash} bytes, "
          f"buffers {small.ram}; connectivity {optimizer.connectivity():.4f}")  # fmt: skip
    assert right > 0.5
    assert loss < (0.01 if quick else 0.002)
    connections = sum(len(step.weights) for step in small.program.steps)  # type: ignore[union-attr]
    assert small.flash < min(2.3 * connections + 1000, 1e9 if quick else 20_000)
    assert small.ram < 2_000


@needs_compiler
@pytest.mark.parametrize(("name", "shape"), [
    ("mnist_fc:hidden=50", (1, 28, 28)),
    ("csnn:channels=5,hidden=30", (1, 28, 28)),
    pytest.param("cifar10_conv:channels=6,hidden=40", (3, 32, 32), marks=pytest.mark.slow),
])  # fmt: skip
def test_networks_by_name(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    net = snnr.models.make(name, seed=1).eval()
    rng = np.random.default_rng(2)
    for layer in net.layers():
        for short, array in layer.arrays().items():
            if short == "weight":
                array.assign(array.numpy() * 9 * (rng.random(array.shape) < 0.5))
    images = rng.integers(0, 256, (6, *shape), np.uint8)
    mean, std = [0.4] * shape[0], [0.25] * shape[0]
    scaled = ((images / np.float32(255)).astype(np.float32) - np.float32(0.4)) / np.float32(0.25)
    _, rates = dense_spikes(net, scaled.astype(np.float32))
    for quantize in (None, "int8"):
        found = write_c(net, tmp_path / "n.h", "n", quantize, input_shape=shape, mean=mean, std=std)
        told, emulated = found.check(images, SANITIZED), found.emulate(images)
        same(told, emulated)
        if quantize is None:
            sure = emulated.margins > ROUNDING / 10
            assert sure.any()
            assert rates.any()
            np.testing.assert_allclose(
                told.outputs[sure] * found.program.scale, rates[sure], rtol=0, atol=1e-6
            )


@needs_compiler
def test_convolutions_in_groups(tmp_path: Path, pixels: np.ndarray) -> None:
    net = network("8c3-lif-8c3-lif-mp2-fc5-lif(v_threshold=0.3)")
    layers = list(net)
    old = next(one for one in layers[1:] if isinstance(one, nn.Conv2d))
    grouped = nn.Conv2d(8, 8, 3, padding=1, bias=False, groups=4)
    grouped.weight.assign(3 * old.weight.numpy()[:, :2])
    net = nn.Sequential(*(grouped if one is old else one for one in layers), T=4).eval()
    found = write_c(net, tmp_path / "n.h", "n", None, input_shape=(2, 9, 8), mean=MEAN, std=STD)
    told = found.check(pixels, SANITIZED)
    same(told, found.emulate(pixels))
    dense, _ = dense_spikes(net, normalised(pixels))
    sure = found.emulate(pixels).margins > ROUNDING
    stages = [s for s in exported(net, (2, 9, 8)).form.stages if s.neuron is not None]
    for stage, spikes in zip(stages, told.spikes, strict=True):
        wanted = dense[stage.neuron_name][:, :, stage.kept].swapaxes(0, 1)
        assert 0.01 < wanted.mean() < 0.9
        np.testing.assert_array_equal(spikes[sure], wanted.reshape(spikes.shape)[sure])
