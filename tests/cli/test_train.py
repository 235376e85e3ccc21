"""snnr train: output, folders, resuming, refusals."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import Result
from snnr.cli import train

import snnr
from snnr.training import Callback, Trainer

Run = Callable[..., Result]
Answer = Callable[..., dict[str, Any]]
Options = tuple[str, ...]


def test_results_go_to_stdout_and_progress_to_stderr(
    run: Run, tiny_file: Path, short: Options
) -> None:
    result = run("train", tiny_file, *short)
    folder = Path("runs/tiny-grad-r-prior0.05-seed0")
    assert (folder / "checkpoint.h5").is_file()
    for word in ("accuracy", "loss", "connectivity", "1_linear", "800x64", str(folder)):
        assert word in result.stdout
    assert "epoch 2/2" not in result.stdout
    for word in (
        "device cpu",
        "200 training and 80 test images",
        "epoch 1/2",
        "epoch 2/2",
        "pruned",
    ):
        assert word in result.stderr


def test_quiet_says_nothing_on_stderr(run: Run, tiny_file: Path, short: Options) -> None:
    result = run("train", tiny_file, *short, "-q")
    assert result.stderr == ""
    assert "accuracy" in result.stdout


def test_json_is_one_object_with_the_promised_keys(
    answer: Answer, tiny_file: Path, short: Options
) -> None:
    value = answer("train", tiny_file, *short, "--seed", 3, "--out", "here")
    assert 0.5 < value["accuracy"] <= 1
    assert 0 < value["connectivity"] < 1
    assert 0 <= value["loss"] < 0.5
    assert value["epochs"] == 2
    assert value["seconds"] == pytest.approx(2 * value["seconds_per_epoch"])
    assert (value["seed"], value["method"]) == (3, "grad-r")
    assert (value["prior"], value["sparsity"]) == (0.05, 0.95)
    assert value["checkpoint"] == str(Path("here/checkpoint.h5"))
    first, second = value["layers"]
    assert (first["name"], first["shape"]) == ("1_linear", [800, 64])
    assert first["nonzero"] == round(first["connectivity"] * 800 * 64)
    assert 0 < first["firing_rate"] < 1
    assert second["shape"] == [4, 800]
    network = snnr.load("here/checkpoint.h5").network
    assert snnr.metrics.connectivity(network) == value["connectivity"]


def test_the_checkpoint_keeps_what_train_was_called_with(
    run: Run, tiny_file: Path, short: Options
) -> None:
    run("train", tiny_file, *short, "--limit-train", 100, "--out", "here")
    with h5py.File("here/checkpoint.h5") as file:
        config = json.loads(file["config"][()])
    expected = {
        "dataset": str(tiny_file), "method": "grad-r", "net": "mnist_fc", "prior": 0.05,
        "sparsity": 0.95, "epochs": 2, "batch_size": 20, "lr": 0.01, "timesteps": 3, "seed": 0,
        "limit_train": 100, "recipe": None, "loss": "mse",
    }  # fmt: skip
    assert {key: config[key] for key in expected} == expected
    assert config["data"]["images"] == 100


def test_dense_has_no_prior(answer: Answer, run: Run, tiny_file: Path) -> None:
    options = ("--epochs", 1, "-T", 2, "--method", "dense")
    value = answer("train", tiny_file, *options)
    assert value["connectivity"] == 1
    assert value["prior"] is value["sparsity"] is None
    assert Path("runs/tiny-dense-seed0/checkpoint.h5").is_file()
    result = run("train", tiny_file, *options, "--prior", 1, code=2)
    assert "--prior means nothing to --method dense" in result.stderr


@pytest.mark.parametrize("method", ["set", "rigl", "magnitude", "imp"])
def test_methods_with_a_target_reach_it(answer: Answer, tiny_file: Path, method: str) -> None:
    options = ("--method", method, "--target-connectivity", 0.1, "--out", "here")
    value = answer("train", tiny_file, "--epochs", 1, "-T", 2, *options)
    assert (value["target_connectivity"], value["prior"]) == (0.1, None)
    assert value["connectivity"] == 0.1
    assert sum(layer["nonzero"] for layer in value["layers"]) == 5440
    more = answer("train", tiny_file, "--epochs", 2, "-T", 2, *options, "--resume")
    assert (more["epochs"], more["connectivity"]) == (2, 0.1)


def test_a_run_is_neither_lost_nor_mixed_up(
    run: Run, trained: Path, tiny_file: Path, short: Options
) -> None:
    before = (trained / "checkpoint.h5").read_bytes()
    result = run("train", tiny_file, *short, "--out", trained, code=1)
    assert result.stderr.count("\n") == 1
    assert "--resume" in result.stderr
    assert "--overwrite" in result.stderr
    result = run("train", tiny_file, "--out", trained, "--resume", "--lr", 0.5, code=2)
    assert "was trained with lr 0.01, not 0.5" in result.stderr
    run("train", tiny_file, "--out", trained, "--resume", "--overwrite", code=2)
    result = run("train", tiny_file, "--out", "elsewhere", "--resume", code=1)
    assert "elsewhere holds no run" in result.stderr
    assert (trained / "checkpoint.h5").read_bytes() == before
    run("train", tiny_file, *short, "--out", trained, "--overwrite", "--seed", 9)
    assert snnr.load(trained / "checkpoint.h5").config["seed"] == 9


def test_resume_has_the_bits_of_a_run_that_never_stopped(
    run: Run, answer: Answer, tiny_file: Path, short: Options
) -> None:
    def uninteresting(value: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in value.items() if not k.startswith(("seconds", "checkpoint"))}

    whole = answer("train", tiny_file, *short, "--epochs", 3, "--out", "whole")
    run("train", tiny_file, *short, "--epochs", 1, "--out", "parts")
    parts = answer("train", tiny_file, "--out", "parts", "--resume", "--epochs", 3)
    assert uninteresting(parts) == uninteresting(whole)
    ends = [snnr.load(f"{name}/checkpoint.h5") for name in ("whole", "parts")]
    for p, q in zip(*(end.network.parameters() for end in ends), strict=True):
        assert p.data.tobytes() == q.data.tobytes()
    result = run("train", tiny_file, "--out", "parts", "--resume")
    assert "complete with 3 epochs" in result.stderr
    assert "accuracy" in result.stdout


def test_ctrl_c_saves_and_exits_with_130(
    run: Run, tiny_file: Path, short: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    import signal

    class Stop(Callback):
        def step(self, trainer: Trainer) -> None:
            if trainer.position == 4:
                signal.raise_signal(signal.SIGINT)

    started = train._started

    def with_stop(*arguments: Any) -> Trainer:
        trainer = started(*arguments)
        trainer.callbacks.append(Stop())
        return trainer

    monkeypatch.setattr(train, "_started", with_stop)
    result = run("train", tiny_file, *short, "--out", "here", code=130)
    assert "Interrupted in epoch 1, step 4 of 10; saved to" in result.stderr
    assert result.stdout == ""
    result = run("train", tiny_file, "--out", "here", "--resume")
    assert "going on with epoch 1 of 2, step 5" in result.stderr
    assert snnr.load("here/checkpoint.h5").step == 20


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("mnits",), 1, "did you mean mnist?"),
        (("none.npz",), 1, "no such file"),
        (("mnist", "--prior", "-1"), 2, "--prior"),
        (("mnist", "--prior", "1e300"), 2, "--prior"),
        (("mnist", "--prior", "1e-300"), 2, "prior (=1e-300) must be 0"),
        (("mnist", "--sparsity", "1.5"), 2, "--sparsity"),
        (("mnist", "--method", "magic"), 2, "'magic' is not one of grad-r"),
        (("mnist", "--net", "resnet"), 2, "unknown network 'resnet': expected one of mnist_fc"),
        (("mnist", "--device", "cuda"), 1, "cuda"),
        (("mnist", "--threads", "100000"), 2, "threads (=100000)"),
        (("mnist", "--limit-train", "99999999"), 1, "limit_train (=99999999)"),
        (("mnist", "--limit-train", "10"), 2, "batch_size (=128)"),
        (("fashion-mnist", "--recipe", "paper"), 2, "only for mnist, cifar10"),
        ((), 2, "Missing argument"),
    ],
)
def test_mistakes_are_told_in_one_line(
    run: Run, arguments: Options, code: int, message: str
) -> None:
    result = run("train", *arguments, code=code)
    assert message in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert result.stderr.strip().splitlines()[-1].startswith("Error: ")
    assert not Path("runs").exists()


def test_debug_shows_the_traceback(run: Run) -> None:
    result = run("train", "none.npz", "--debug", code=1)
    assert isinstance(result.exception, snnr.DataError)


def test_what_nobody_expected_is_one_line_too(
    run: Run, tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr(train, "_started", fail)
    result = run("train", tiny_file, "-q", code=1)
    assert result.stderr == "Error: unexpected ZeroDivisionError: by zero (--debug shows where)\n"


def test_divergence_keeps_the_last_checkpoint(
    run: Run, trained: Path, tiny_file: Path, short: Options
) -> None:
    with np.errstate(all="ignore"):
        result = run("train", tiny_file, *short, "--lr", 1e38, "--out", "wild", code=1)
    assert "Error: training diverged at step" in result.stderr
    assert not Path("wild/checkpoint.h5").exists()


def test_mnist_with_augmentation(answer: Answer) -> None:
    value = answer(
        "train", "mnist", "--limit-train", 256, "--epochs", 1, "-T", 2, "--recipe", "paper", "-q"
    )
    assert value["epochs"] == 1
    assert snnr.load(value["checkpoint"]).config["augment"] == "affine"


def test_the_loss_is_the_one_that_was_asked_for(
    answer: Answer, tiny_file: Path, short: Options
) -> None:
    squared = answer("train", tiny_file, *short, "--out", "a")
    crossed = answer("train", tiny_file, *short, "--loss", "cross-entropy", "--out", "b")
    # with rates in 0..1 of four classes the one is at most 1, the other at least ln(e + 3) - 1
    assert squared["loss"] < 0.5
    assert crossed["loss"] > 0.74
    for folder, least, most in (("a", 0.0, 0.5), ("b", 0.74, 1.75)):
        history = snnr.load(f"{folder}/checkpoint.h5").history
        assert all(least < value < most for value in history["train_loss"])
    told = answer("eval", "b/checkpoint.h5", "--dataset", tiny_file)
    assert told["loss"] == pytest.approx(crossed["loss"])


def test_augmentation_is_on_only_when_it_was_asked_for(
    run: Run, tiny_file: Path, short: Options
) -> None:
    result = run("train", tiny_file, *short, "--augment", "--out", "a", code=2)
    assert "has no augmentation of its own" in result.stderr
    for option in ((), ("--no-augment",)):
        run("train", tiny_file, *short, *option, "--out", "a", "--overwrite")
        assert not snnr.load("a/checkpoint.h5").config["augment"]


def test_a_network_that_dies_is_told_also_in_json(
    answer: Answer, run: Run, tiny_file: Path, short: Options
) -> None:
    dead = (*short, "--prior", 3)
    result = run("train", tiny_file, *dead, "--out", "a", "-q")
    line = " ".join(result.stderr.split())
    assert line.count("warning") == 1
    assert line.startswith("warning: after epoch ")
    assert "_linear" in line
    assert "lower prior (=3)" in line
    value = answer("train", tiny_file, *dead, "--out", "b", "-q")
    assert len(value["warnings"]) == 1
    assert value["connectivity"] == 0
    assert answer("train", tiny_file, *short, "--out", "c", "-q")["warnings"] == []
