"""Nothing that a command prints is wider than the terminal."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from snnr.cli import main
from snnr.cli.board import Board, summary

import snnr
from snnr.sweep import Sweep, plan

Run = Callable[..., Result]
NET = ("--net", "fc8-lif-fc4-lif", "-T", 2, "--batch-size", 20, "--limit-train", 100)
WORK = (*NET, "--epochs", 2, "--lr", 0.01, "--device", "cpu", "--threads", 1)
LONG = "32c3-bn-lif-mp2-64c3-bn-lif-mp2-fc256-lif(tau=1.5,v_threshold=0.8)-dp0.3-fc10-lif"


def fits(result: Result, columns: int) -> None:
    """No line is wider, but where it is one word: a path, which is to be copied."""
    lines = (result.stdout + result.stderr).splitlines()
    assert lines
    for line in lines:
        assert len(line) <= columns or len(line.split()) == 1, line


@pytest.fixture(params=[80, 60])
def columns(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("COLUMNS", str(request.param))
    assert isinstance(request.param, int)
    return request.param


@pytest.fixture
def here(run: Run, tiny_file: Path) -> None:
    """A data set under a short name."""
    shutil.copy(tiny_file, "tiny.npz")


def every(command: click.Command, path: str = "snnr") -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inside = command.get_command(context, name)
            assert inside is not None
            yield from every(inside, f"{path} {name}")


def test_help(columns: int) -> None:
    for path, command in every(main):
        # as click makes it for a terminal of so many columns
        context = click.Context(command, info_name=path, terminal_width=columns - 2)
        for line in command.get_help(context).splitlines():
            # examples and lists of choices are not broken, so that they can be copied
            loose = line.strip().startswith(("snnr ", "--"))
            assert len(line) <= (80 if loose else columns), (path, line)


def test_a_run_and_what_is_done_with_it(run: Run, here: None, columns: int) -> None:
    target = ("--target-connectivity", 0.01, "--schedule", "cosine")
    for number, more in enumerate(((), target, ("--prior", 3))):
        fits(run("train", "tiny.npz", *WORK, *more, "--out", number), columns)
    fits(run("train", "tiny.npz", "--out", "0", "--resume"), columns)
    for command in ("eval", "inspect"):
        fits(run(command, "0"), columns)
    np.save("six.npy", np.zeros((6, 1, 8, 8), np.uint8))
    fits(run("predict", "0", "six.npy"), columns)
    for kind in ("c", "npz"):
        fits(run("export", "0", "--to", kind), columns)
    fits(run("report", "0"), columns)


@pytest.mark.slow
def test_many_runs(run: Run, here: None, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = 80
    monkeypatch.delenv("COLUMNS", raising=False)
    axes = ("--prior", 0.05, "--prior", 0.5, "--schedule", "cosine", "--schedule", "step")
    fits(run("sweep", "tiny.npz", *WORK[:-4], "--epochs", 1, *axes, "--out", "s"), columns)
    pytest.importorskip("optuna")
    work = ("--at", 0.9, *WORK[:-4], "--epochs", 1, "--trials", 1)
    result = CliRunner().invoke(main, [str(word) for word in ("search", "tiny.npz", *work)])
    fits(result, columns)


def test_data_and_bench(run: Run, columns: int) -> None:
    for command in ("list", "verify"):
        fits(run("data", command), columns)
    bench = ("--seconds", 0.01, "--batch-size", 4, "--net", "mnist_fc", "--net", "8c3-lif-fc10-lif")
    fits(run("bench", *bench, "--connectivity", 0.05, "--device", "cpu"), columns)


@pytest.mark.parametrize("name", ["csnn", "cifar10_conv"])
def test_large_networks(run: Run, columns: int, name: str) -> None:
    options = "channels=4,hidden=32"
    shape = (3, 32, 32) if name == "cifar10_conv" else (1, 28, 28)
    net = snnr.models.make(f"{name}:{options}", input_shape=shape)
    optimizer = snnr.optim.GradR(net.parameters())
    snnr.save("c.h5", net, optimizer)
    result = run("inspect", "c.h5")
    fits(result, columns)
    for layer in net.layers():
        if any(p.role == "weight" for p in layer.own_parameters().values()):
            assert layer.name in result.stdout


def test_counts_of_eight_figures_fit_too(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from snnr.cli import inspect

    layer = {
        "shape": [2048, 16384], "weights": 33_554_432, "nonzero": 33_554_432, "connectivity": 1.0,
        "dead_neurons": 2_048, "unused_inputs": 16_384, "theta_quantiles": None,
    }  # fmt: skip
    inspect.print_weights([{"name": "15_linear", **layer}, {"name": "6_conv2d", **layer}])
    told = capsys.readouterr().out
    assert "33,554,432" in told
    assert all(len(line) <= columns for line in told.splitlines())
    # at 80 it is one table: a line of each layer
    assert columns < 80 or told.count("15_linear") == 1


def test_the_board_of_a_sweep(
    tmp_path: Path, columns: int, capsys: pytest.CaptureFixture[str], tiny_file: Path
) -> None:
    runs = plan(
        str(tiny_file), {"prior": [0.05], "seed": [0], "schedule": ["step:factor=0.3,at=0.6/0.9"]},
        net=LONG, epochs=500,
    )  # fmt: skip
    sweep, board = Sweep(runs, tmp_path), Board(quiet=False)
    board.terminal = True
    name = runs[0].name
    events: list[dict[str, Any]] = [
        {"event": "started", "epoch": 0, "epochs": 500},
        {"event": "epoch", "epoch": 499, "test_accuracy": 1.0, "connectivity": 1.0, "seconds": 1},
        {"event": "step", "epoch": 499, "step": 12_345, "steps": 23_456},
        {"event": "warning", "text": "word " * 40},
        {"event": "failed", "error": "word " * 40},
    ]
    for event in events:
        board._due = 0.0
        board.event(sweep, name, event)
    told = capsys.readouterr().err
    assert all(
        len(line) <= columns or len(line.split()) == 1
        for line in told.replace("\r", "\n").splitlines()
    )
    assert columns < 80 or "step 12,345/23,456  100.00 % at 100.00 %  0:0" in told


def test_a_summary_with_many_settings(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"run": "x", "status": "finished", "accuracy": 0.9, "connectivity": 0.5, "method": "grad-r",
         "seconds_per_epoch": 2.0, "net": net, "schedule": "step:factor=0.3,at=0.6/0.9",
         "batch_size": n, "prior": n, "timesteps": n}
        for n, net in enumerate((LONG, "csnn"))
    ]  # fmt: skip
    summary(rows)
    told = capsys.readouterr().out
    assert all(len(line) <= columns or len(line.split()) == 1 for line in told.splitlines())
    assert LONG in told
