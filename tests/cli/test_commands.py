"""snnr eval, inspect and data, and what holds for every command."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import Result
from snnr.cli import COMMANDS, main

import snnr

Run = Callable[..., Result]
Answer = Callable[..., dict[str, Any]]


def commands(
    command: click.Command = main, path: tuple[str, ...] = ()
) -> list[tuple[tuple[str, ...], click.Command]]:
    found: list[tuple[tuple[str, ...], click.Command]] = [(path, command)]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inside = command.get_command(context, name)
            assert inside is not None
            found += commands(inside, (*path, name))
    return found


def test_every_help_has_an_example(run: Run) -> None:
    for path, _ in commands():
        text = run(*path, "--help").stdout
        assert "Example" in text
        assert "snnr" in text


def test_the_overview_imports_no_command() -> None:
    code = (
        "import sys; from snnr.cli import main; main(['--help'], standalone_mode=False); "
        "heavy = {'numba', 'numpy', 'h5py', 'snnr.cli.train'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in COMMANDS:
        assert name in done.stdout


def test_the_overview_and_the_commands_say_the_same() -> None:
    assert {path[0] for path, _ in commands() if path} == set(COMMANDS)


def test_version(run: Run) -> None:
    assert run("--version").stdout == f"snnr {snnr.__version__}\n"


def test_unknown_command(run: Run) -> None:
    assert "There is no command 'fly'. There are train, sweep" in run("fly", code=2).stderr
    assert "'trian'. Did you mean train?" in run("trian", "mnist", code=2).stderr


def test_eval_agrees_with_training(answer: Answer, run: Run, trained: Path) -> None:
    path = trained / "checkpoint.h5"
    found = snnr.load(path)
    value = answer("eval", path)
    assert value["accuracy"] == found.history["test_accuracy"][-1] == found.accuracy
    assert value["loss"] == found.history["test_loss"][-1]
    assert value["connectivity"] == found.connectivity
    assert [layer["firing_rate"] for layer in value["layers"]] == [
        column[-1] for column in found.history["firing_rate"].values()
    ]
    assert (value["epochs"], value["seed"], value["method"]) == (2, 0, "grad-r")
    assert (value["prior"], value["sparsity"], value["engine"]) == (0.05, 0.95, "dense")
    assert value["seconds"] == pytest.approx(sum(found.history["seconds"]))
    assert value["images"] == 80
    assert value["multiply_accumulates"] == np.count_nonzero(found.network[1].weight.data)
    assert value["synaptic_operations"] > 0
    assert value["warnings"] == []
    text = run("eval", trained).stdout
    assert f"{100 * value['accuracy']:.2f} % of 80 images" in text
    assert "synaptic" in text
    told = value["neurobench"]
    assert told["ConnectionSparsity"] == pytest.approx(1 - found.connectivity)
    # all pixels of this image are different from 0 but for those that normalise to it
    steps = found.network.T
    assert told["SynapticOperations"]["Effective_MACs"] <= steps * value["multiply_accumulates"]
    assert told["SynapticOperations"]["Effective_ACs"] == value["synaptic_operations"]
    assert told["SynapticOperations"]["Dense"] == steps * sum(
        layer["weights"] for layer in value["layers"]
    )
    assert 0 < told["EnergyJoules"] < 1e-6
    assert told["SparseFootprint"] < told["Footprint"]
    assert f"{told['Footprint']:,} bytes" in text
    assert answer("inspect", path)["footprint"] == told["Footprint"]


def test_eval_on_another_data_set(
    answer: Answer, run: Run, trained: Path, tiny_file: Path, tmp_path: Path
) -> None:
    with np.load(tiny_file) as arrays:
        content = dict(arrays)
    np.savez(tmp_path / "half.npz", **{**content, "x_test": content["x_test"][:40],
                                       "y_test": content["y_test"][:40]})  # fmt: skip
    value = answer("eval", trained, "--dataset", tmp_path / "half.npz")
    assert value["images"] == 40
    result = run("eval", trained, "--dataset", "mnist", code=1)
    assert "takes images of [1, 8, 8], mnist has [1, 28, 28]" in result.stderr


def test_eval_of_a_network_that_was_saved_by_hand(
    run: Run, answer: Answer, tiny_file: Path
) -> None:
    snnr.save("c.h5", snnr.models.mnist_fc(T=2, input_shape=(1, 8, 8), classes=4))
    assert "give --dataset" in run("eval", "c.h5", code=1).stderr
    value = answer("eval", "c.h5", "--dataset", tiny_file)
    assert value["connectivity"] == 1
    assert value["epochs"] == value["seconds"] == 0


def test_eval_of_a_dead_network_says_so(run: Run, answer: Answer, tiny_file: Path) -> None:
    net = snnr.models.mnist_fc(T=2, input_shape=(1, 8, 8), classes=4)
    options = ("c.h5", "--dataset", tiny_file)
    # what a stranger may write where the strength of a prior stands
    config = {"prior": 10**400, "sparsity": "\x1b[2J", "lr": [1]}
    for weight, told in ((net[3].weight, "3_linear has no connection left"),
                         (net[1].weight, "1_linear and 3_linear have no connection")):  # fmt: skip
        weight.assign(np.zeros_like(weight.numpy()))
        snnr.save("c.h5", net, config=config)
        line = " ".join(run("eval", *options, "-q").stderr.split())
        assert line.count("warning") == 1
        assert line.startswith(f"warning: {told}")
        assert line.isprintable()
        (text,) = answer("eval", *options)["warnings"]
        assert text in line
    net = snnr.models.mnist_fc(T=2, input_shape=(1, 8, 8), classes=4)
    net[1].weight.assign(net[1].weight.numpy() * np.float32(1e-6))
    snnr.save("c.h5", net, config={"prior": 0.5})
    (text,) = answer("eval", *options)["warnings"]
    assert text.startswith("2_lif does not fire")
    assert "lower prior (=0.5), " in text
    assert text.endswith("another lr")


def test_inspect(answer: Answer, run: Run, trained: Path) -> None:
    found = snnr.load(trained / "checkpoint.h5")
    value = answer("inspect", trained)
    assert [layer["type"] for layer in value["layers"]] == [
        "Flatten", "Linear", "LIF", "Linear", "LIF",
    ]  # fmt: skip
    layer = value["layers"][3]
    weight = found.network[3].weight
    assert layer["shape"] == [4, 800]
    assert layer["nonzero"] == np.count_nonzero(weight.data)
    assert layer["connectivity"] == layer["nonzero"] / 3200
    assert layer["unused_inputs"] == (weight.data == 0).all(axis=0).sum()
    assert layer["dead_neurons"] == (weight.data == 0).all(axis=1).sum()
    assert found.optimizer is not None
    theta = found.optimizer.state[weight].theta
    assert layer["theta_quantiles"]["0.5"] == pytest.approx(np.median(theta), rel=1e-5)
    assert value["connectivity"] == found.connectivity
    assert (value["epoch"], value["step"], value["timesteps"]) == (2, 20, 3)
    text = run("inspect", trained).stdout
    for word in ("Flatten - Linear - LIF", "1_linear", "800x64", "dead neurons", "theta"):
        assert word in text


@pytest.mark.parametrize("command", ["eval", "inspect"])
def test_a_damaged_checkpoint_is_told_in_one_line(run: Run, trained: Path, command: str) -> None:
    path = trained / "checkpoint.h5"
    path.write_bytes(path.read_bytes()[:5000])
    result = run(command, path, "-q", code=1)
    assert result.stderr.startswith(f"Error: {path}: damaged or not a checkpoint")
    assert result.stderr.count("\n") == 1


def test_data_list_and_verify(answer: Answer, run: Run) -> None:
    sets = {entry["name"]: entry for entry in answer("data", "list")["datasets"]}
    assert set(sets) == {"mnist", "fashion-mnist", "cifar10"}
    assert sets["mnist"]["state"] == "bundled"
    assert "mnist" in run("data", "list").stdout
    assert answer("data", "verify", "mnist")["datasets"][0]["state"] == "bundled"
    assert run("data", "fetch", "mnist").stdout.startswith("mnist: sound, 11.4 MB in ")
    result = run("data", "verify", "cifar10", code=1)
    assert "snnr data fetch cifar10" in result.stderr
    assert "unknown data set" in run("data", "fetch", "imagenet", code=1).stderr
