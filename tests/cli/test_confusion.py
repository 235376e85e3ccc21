"""Which classes are taken for which, and evaluations over the first test images."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import snnr.data
from click.testing import Result
from snnr.cli.confusion import print_confusion

import snnr
from snnr import nn, optim
from snnr.input import Images
from snnr.training import evaluate

Run = Callable[..., Result]
Answer = Callable[..., dict[str, Any]]


def counted(path: Path, data: Any, images: int) -> np.ndarray:
    """The oracle, one image at a time."""
    network = snnr.load(path).network
    found = np.zeros((data.classes, data.classes), int)
    source = Images(data.x_test, data.mean, data.std)
    for index in range(images):
        with snnr.no_grad():
            rate = network(source.batch([index])).numpy().mean(axis=0)[0]
        found[data.y_test[index], list(rate).index(max(rate))] += 1
    return found


@pytest.fixture(scope="module")
def poor(tiny_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that makes mistakes."""
    from snnr.training import run_settings, start

    path = tmp_path_factory.mktemp("poor") / "c.h5"
    settings = run_settings(
        str(tiny_file), net="fc4-lif-fc4-lif", epochs=1, batch_size=20, timesteps=3, lr=0.02,
        method="dense", device="cpu", limit_train=100,
    )  # fmt: skip
    start(settings, path).fit()
    return path


@pytest.mark.parametrize("engine", ["dense", "sparse"])
def test_answers_are_counted_by_class(
    answer: Answer, run: Run, tiny_file: Path, poor: Path, engine: str
) -> None:
    expected = counted(poor, snnr.data.load(tiny_file), 80)
    assert 0 < np.trace(expected) < 80
    found = answer("eval", poor, "--confusion", "--engine", engine)
    assert found["confusion"] == expected.tolist()
    assert found["accuracy"] == np.trace(expected) / 80
    assert "confusion" not in answer("eval", poor, "--engine", engine)
    lines = run("eval", poor, "--confusion", "--engine", engine).stdout.splitlines()
    start = lines.index("answers to the images of each class") + 2
    for label, line in enumerate(lines[start : start + 4]):
        cells = [cell.replace(".", "0") if cell == "." else cell for cell in line.split()]
        assert cells[:5] == [str(label), *map(str, expected[label])]
    assert "answers" not in run("eval", poor).stdout


def test_the_first_test_images_only(answer: Answer, run: Run, tiny_file: Path, poor: Path) -> None:
    data = snnr.data.load(tiny_file)
    expected = counted(poor, data, 30)
    found = answer("eval", poor, "--confusion", "--limit-test", 30)
    assert found["confusion"] == expected.tolist()
    assert (found["images"], found["accuracy"]) == (30, np.trace(expected) / 30)
    told = run("eval", poor, "--limit-test", 81, code=1).stderr
    assert "limit_test (=81) must lie between 1 and 80, the number of test images in" in told
    options = ("--epochs", 1, "--batch-size", 20, "-T", 2, "--out", "run")
    value = answer("train", tiny_file, *options, "--limit-test", 7)
    assert value["accuracy"] in {n / 7 for n in range(8)}
    assert snnr.load("run").config["limit_test"] == 7
    again = answer("train", tiny_file, "--epochs", 2, "--out", "run", "--resume")
    assert again["accuracy"] in {n / 7 for n in range(8)}
    told = run("train", tiny_file, "--limit-test", 8, "--out", "run", "--resume", code=2).stderr
    assert "was trained with limit-test 7, not 8" in told


def test_a_set_that_is_named_is_cut_as_a_file_is(tiny_file: Path) -> None:
    for name in ("mnist", tiny_file):
        whole, first = snnr.data.load(name), snnr.data.load(name, limit_test=5)
        np.testing.assert_array_equal(first.x_test, whole.x_test[:5])
        np.testing.assert_array_equal(first.y_test, whole.y_test[:5])
        assert len(first.x_train) == len(whole.x_train)
        assert first.x_test.base is None
        for wrong in (0, 10**6, "5", True):
            with pytest.raises(snnr.DataError, match="limit_test"):
                snnr.data.load(name, limit_test=wrong)


def test_sweeps_of_before_keep_their_names(tiny_file: Path) -> None:
    from snnr.sweep.grid import default_folder, plan, run_name

    (one,) = plan("mnist", {"prior": [0.05]}, device="cpu")
    assert one.name == "grad-r-prior0.05-seed0-723ecf83"
    before = {key: value for key, value in one.config.items() if key != "limit_test"}
    assert run_name(before) == one.name
    (fewer,) = plan("mnist", {"prior": [0.05]}, limit_test=9, device="cpu")
    assert fewer.name != one.name
    assert str(default_folder([one])) == "sweeps/mnist-0adcc4ce"
    assert default_folder([fewer]) != default_folder([one])


def test_evaluations_add_up(poor: Path, tiny_file: Path) -> None:
    data = snnr.data.load(tiny_file)
    network = snnr.load(poor).network
    source = Images(data.x_test, data.mean, data.std)
    whole, first, rest = (
        evaluate(network, source, data.y_test, index=np.arange(*part), confusion=True)
        for part in ((0, 80), (0, 30), (30, 80))
    )
    first.merge(rest)
    assert first.confusion is not None
    assert first.confusion.tolist() == whole.confusion.tolist()
    first.merge(evaluate(network, source, data.y_test, index=np.arange(9)))
    assert first.confusion is None


def test_what_is_too_wide_is_a_list(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    rng = np.random.default_rng(1)
    ten = np.diag(rng.integers(1000, 1100, 10)) + rng.integers(0, 9, (10, 10))
    print_confusion(ten)
    matrix = capsys.readouterr().out.splitlines()
    assert len(matrix) == 12
    assert max(map(len, matrix)) <= 80
    assert matrix[2].split()[1] == str(ten[0, 0])  # the separator went, so that it fits
    many = np.diag(np.full(100, 50))
    many[3, 97], many[8, 1], many[5] = 7, 9, 0
    print_confusion(many)
    told = capsys.readouterr().out
    assert "the most frequent of 16 mistakes (100 classes; --json has all)" in told
    rows = [line.split() for line in told.splitlines()[2:]]
    assert rows == [["8", "1", "9", "15.25", "%"], ["3", "97", "7", "12.28", "%"]]
    assert max(map(len, told.splitlines())) <= 80


def test_it_is_drawn_where_it_is_named(run: Run, poor: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    words = ("plot", poor, "--format", "svg", "--out", tmp_path)
    run(*words, "--figure", "confusion")
    text = (tmp_path / "confusion.svg").read_text()
    for told in ("answer", "class", "share of the images of the class, %", "% right"):
        assert told in text
    assert "confusion" not in run(*words).stdout


def test_a_single_class_and_ties() -> None:
    """The first of the largest rates is the answer, for the matrix as for the accuracy."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.IF(), T=1)
    for p in network.parameters():
        p.assign(np.zeros(p.shape, np.float32))
    optim.Adam(network.parameters())
    source = Images(np.zeros((6, 1, 2, 2), np.uint8), (0.0,), (1.0,))
    result = evaluate(network, source, np.array([0, 0, 1, 2, 2, 2]), confusion=True)
    assert result.confusion is not None
    assert result.confusion.tolist() == [[2, 0, 0], [1, 0, 0], [3, 0, 0]]
    assert result.correct == 2
