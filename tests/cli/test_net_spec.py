"""Networks by a text: names with options, specs of layers, and errors that point."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

import snnr
from snnr import models, nn
from snnr.checkpoint.layout import MAX_WEIGHTS

CSNN = "128c3-bn-lif-mp2-128c3-bn-lif-mp2-dp-fc2048-lif-fc100-lif-vote10"


def same(one: nn.Sequential, other: nn.Sequential) -> bool:
    """Layers, settings, first weights and the keys of dropout."""
    arrays = [[a.numpy().tobytes() for x in n.layers() for a in x.arrays().values()]
              for n in (one, other)]  # fmt: skip
    draws = [[repr(x.draws) for x in n if isinstance(x, nn.Dropout)] for n in (one, other)]
    return repr(one) == repr(other) and arrays[0] == arrays[1] and draws[0] == draws[1]


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (CSNN.replace("128c", "4c").replace("2048", "2048"), "csnn:channels=4"),
        ("fc7-lif-fc10-lif", "mnist_fc:hidden=7"),
        ("(2c3-bn-lif-2c3-bn-lif-2c3-bn-lif-mp2)x2", "cifar10_conv:channels=2,dropout=0.25"),
    ],
)
def test_a_spec_makes_the_bits_of_a_named_network(spec: str, name: str) -> None:
    if spec.endswith("x2"):
        group = spec.removeprefix("(").removesuffix(")x2")
        spec = f"{group}-{group}-dp0.25-fc2048-lif-fc100-lif-vote10"
    made = models.make(spec, T=3, seed=5, input_shape=(1, 28, 28))
    assert same(made, models.make(name, T=3, seed=5, input_shape=(1, 28, 28)))


def test_options_reach_the_function() -> None:
    net = models.make("cifar10_conv:channels=3,dropout=0.1", T=2)
    assert net[0].settings()["out_channels"] == 3
    assert net.T == 2
    assert [x.p for x in net if isinstance(x, nn.Dropout)] == [0.1]


def test_every_kind_of_layer() -> None:
    text = "6c5s2p0-bn-if(v_reset=none)-ap2-mp3s1-4c1-lif(tau=1.5,v_reset=-0.5)-dp0.2-fc8-bn-lif" \
        "(surrogate=sigmoid,decay_input=no)-fc6-lif-vote2"  # fmt: skip
    net = models.make(text, input_shape=(2, 28, 20), classes=3)
    assert [layer.kind for layer in net] == [
        "Conv2d", "BatchNorm2d", "IF", "AvgPool2d", "MaxPool2d", "Conv2d", "LIF", "Flatten",
        "Dropout", "Linear", "BatchNorm1d", "LIF", "Linear", "LIF", "Voting",
    ]  # fmt: skip
    conv = net[0].settings()
    assert (conv["kernel_size"], conv["stride"], conv["padding"], conv["bias"]) == (5, 2, 0, False)
    assert net[2].settings()["v_reset"] is None
    assert (net[3].kernel_size, net[4].kernel_size, net[4].stride) == (2, 3, 1)
    assert (net[6].tau, net[6].v_reset, net[8].p) == (1.5, -0.5, 0.2)
    assert (net[11].surrogate.name, net[11].decay_input) == ("sigmoid", False)
    assert net.T == models.DEFAULT_T == 8
    assert net.output_shape((2, 28, 20)) == (3,)
    out = net.eval()(np.ones((2, 2, 28, 20), np.float32))
    assert out.shape == (8, 2, 3)


@pytest.mark.parametrize(
    ("text", "one"),
    [
        (" CSNN:dropout=0.50 , channels=064", "csnn:channels=64"),
        ("csnn:channels=128", "csnn"),
        ("mnist_fc", "mnist_fc"),
        ("csnn:dropout=0.00001", "csnn:dropout=0.00001"),
        ("32C3s1p1 - BN-lif(tau=2.0)- mp2s2-FC10-if()", "32c3-bn-lif-mp2-fc10-if"),
        ("8c4-lif( v_threshold=0.8 , tau=3 )-dp0.5-fc10-lif", None),
        ("8c5p0s2-lif-fc10", "at 1"),
        ("8c5s2p0-lif-dp0.00001-ap3-fc10-lif(detach_reset=no,v_reset=none)-vote1", None),
    ],
)
def test_one_text_for_all_that_name_the_same_network(text: str, one: str | None) -> None:
    if one == "at 1":
        with pytest.raises(models.SpecError, match="character 1: '8c5p0s2' is no layer"):
            models.canonical(text)
        return
    found = models.canonical(text)
    assert one is None or found == one
    assert models.canonical(found) == found
    if "csnn" not in found:
        assert same(models.make(text), models.make(found))


@pytest.mark.parametrize(
    ("text", "marked", "told"),
    [
        ("32c3-bn-liff-fc10", "liff", r"is no layer \(did you mean lif\?\); expected 64c3"),
        ("32c3--fc10-lif", "-", "a layer is missing"),
        ("fc10-bn", "", "no neurons: a lif or an if"),
        ("fc0-lif", "fc0", r"outputs \(=0\) must lie between 1"),
        ("fc" + "9" * 600 + "-lif", "fc" + "9" * 600, "must lie between"),
        ("lif(tau=0.5)-fc10", "lif(tau=0.5)", "tau .* must be greater than 1"),
        ("lif(tau=x)-fc10", "lif(tau=x)", "must be a number"),
        ("if(tau=2)-fc10", "if(tau=2)", "if does not take 'tau=2'; expected each of v_threshold"),
        ("lif(tau=2,tau=3)-fc10", "lif(tau=2,tau=3)", "at most once"),
        ("lif(surrogate=spike)-fc10", "lif(surrogate=spike)", "one of atan"),
        ("lif(smooth=yes)-fc10", "lif(smooth=yes)", "does not take"),
        ("lif-dp1-fc10", "dp1", r"p \(=1\) must lie in \[0, 1\)"),
        ("8c3-lif-fc12-lif", "fc12", "ends in 12 outputs, 10 classes .* expected fc10"),
        ("8c3-lif-fc20-lif", "fc20", "or a vote2 at the end"),
        ("8c3-lif", "8c3", "ends in 6272 outputs"),
        ("fc10-lif-3c3", "3c3", "a convolution takes images, not 10 numbers"),
        ("mp2-mp2-mp2-mp2-mp2-lif", "mp2", "takes images of at least 2 by 2"),
        ("8c40p0-lif-fc10", "8c40p0", "is larger than the padded image"),
        ("8c3p65-lif-fc10", "8c3p65", "padding .* from 0 to 64"),
        ("fc1000000-lif-fc10", "fc1000000", "brings the network to 784,000,000 weights"),
        ("100000c1-lif-fc10", "100000c1", "gives 78,400,000 numbers per image"),
        ("-".join(["lif"] * 201), "lif", "more than 200 layers"),
        ("lif-fc10-vote3", "vote3", "multiple of 3 votes"),
        ("csnn:chanels=64", "chanels=64", r"of csnn .+; expected channels \(default 128\)"),
        ("csnn:", " ", "no option of csnn"),
        ("csnn:channels=1.5", "channels=1.5", "a whole number"),
        ("csnn:channels=0", "channels=0", "at least 1"),
        ("csnn:dropout=nan", "dropout=nan", "a number such as 0.5"),
        ("csnn:channels=2,channels=3", "channels=3", "given twice"),
        ("csnn:seed=3", "seed=3", "no option"),
    ],
)
def test_errors_point_at_the_place(text: str, marked: str, told: str) -> None:
    with pytest.raises(models.SpecError, match=told) as caught:
        models.make(text)
    error = caught.value
    assert f"{text} "[error.start : error.end] == (marked or " ")
    assert f"character {error.start + 1}:" in str(error)
    message, line, mark = error.pointing().split("\n")
    assert line == f"  {text}"
    assert (mark.index("^"), mark.count("^")) == (error.start + 2, error.end - error.start)
    assert message == error.what
    assert len(str(error)) < 800


@pytest.mark.parametrize("text", ["resnet", "x:y", "csn:channels=3", "a" * 1001])
def test_unknown_names_list_what_there_is(text: str) -> None:
    with pytest.raises(snnr.ConfigError, match=r"expected one of mnist_fc|at most 1000 characters"):
        models.canonical(text)


def test_channels_of_a_named_network_are_bounded_before_anything_is_allocated() -> None:
    with pytest.raises(snnr.ConfigError, match="weights, at most 536,870,912 are allowed"):
        models.make("cifar10_conv:channels=16000", input_shape=(3, 4, 4))
    assert models.MAX_WEIGHTS == MAX_WEIGHTS


def test_a_spec_trains_is_saved_and_resumes_under_every_text_for_it(
    tiny_file: Path, tmp_path: Path
) -> None:
    spec = "4c3-bn-lif-mp2-dp-fc4-lif"
    from snnr.training import resume, run_settings, start

    given: dict[str, Any] = {"epochs": 1, "batch_size": 50, "timesteps": 2, "limit_train": 100}
    settings = run_settings(str(tiny_file), net="4C3-BN-lif-mp2s2-dp0.5-fc4-lif", **given)
    assert settings.net == spec
    start(settings, tmp_path / "c.h5").fit()
    assert snnr.load(tmp_path / "c.h5").config["net"] == spec
    for text in (spec, "4c3-bn-lif-MP2-dp-fc4-lif(tau=2)"):
        trainer = resume(tmp_path / "c.h5", {"net": text}, epochs=2)
    trainer.fit()
    assert trainer.epoch == 2
    with pytest.raises(snnr.ConfigError, match=f"was trained with net {spec}, not 4c3-lif-fc4"):
        resume(tmp_path / "c.h5", {"net": "4c3-lif-fc4"})


def test_the_command_line_marks_the_place(run: Callable[..., Result], tiny_file: Path) -> None:
    told = run("train", tiny_file, "--net", "4c3-\x1b[1mlif-fc4", code=2).stderr
    lines = told.rstrip("\n").split("\n")
    assert "\x1b" not in told
    assert "Invalid value for '--net': '\\x1b[1mlif' is no layer" in told
    assert lines[-1].strip() == "^" * len(r"\x1b[1mlif")
    assert lines[-1].index("^") == lines[-2].index("\\x1b")
    told = run("train", tiny_file, "--net", "4c3-lif-fc10-lif", code=2).stderr
    assert "character 9: fc10: the network ends in 10 outputs, 4 classes need one each" in told
    assert run("train", "--help").stdout.count("|SPEC]") == 3  # networks, moves, schedules


def test_what_is_too_long_is_not_read() -> None:
    parts = models.spec.parse("fc8-" * 10 + "lif")
    assert len(parts) == 11
    for read in (models.spec.parse, models.canonical):
        with pytest.raises(snnr.ConfigError, match=r"at most 1000"):
            read("fc8-" * 250 + "lif")
