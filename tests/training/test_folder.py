"""The folder of a run: its best epoch, its history as CSV and its log, whatever happens to it."""

import csv
import os
import re
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from snnr.data import Dataset

import snnr
from snnr.checkpoint import BEST, CHECKPOINT, file, load_record
from snnr.training import Callback, Trainer, folder
from snnr.training.folder import HISTORY, LOG, REACH

from .runs import StopAt, trainer

FILES = {CHECKPOINT, BEST, HISTORY, LOG}


def begun(data: Dataset, out: Path, epochs: int = 4, **settings: Any) -> Trainer:
    run = trainer(data, out / CHECKPOINT, epochs=epochs, augment=False, **settings)
    run.optimizer.lr = 0.02
    return run


def rows(out: Path) -> list[dict[str, float]]:
    with (out / HISTORY).open(newline="") as lines:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(lines)]


def flat(history: Mapping[str, Any]) -> list[dict[str, float]]:
    """The oracle of `rows`."""
    columns: dict[str, list[float]] = {}
    for name, column in history.items():
        inside = column if isinstance(column, dict) else {"": column}
        columns |= {f"{name}/{key}".rstrip("/"): values for key, values in inside.items()}
    return [{k: v[i] for k, v in columns.items()} for i in range(len(history["epoch"]))]


def best_of(history: Mapping[str, Any], target: float = 0.0) -> int:
    """The oracle: the epoch that is held at the end, by the rule as it is written down."""
    held: int | None = None
    accuracy, level = history["test_accuracy"], history["connectivity"]
    for last in range(len(accuracy)):
        out = held is not None and level[held] > REACH * max(target, level[last])
        if held is None or out or accuracy[last] > accuracy[held]:
            held = last
        if accuracy[last] == accuracy[held] and level[last] < level[held]:
            held = last
    assert held is not None
    return held + 1


def agrees(out: Path, target: float = 0.0) -> None:
    """All files of a folder tell of the same training."""
    last, best = load_record(out), load_record(out / BEST)
    assert rows(out) == flat(last.history)
    assert best.epoch == best_of(last.history, target)
    assert best.accuracy == last.history["test_accuracy"][best.epoch - 1]
    assert flat(best.history) == flat(last.history)[: best.epoch]
    assert set(os.listdir(out)) == FILES


def test_a_run_leaves_its_files(tiny: Dataset, tmp_path: Path) -> None:
    run = begun(tiny, tmp_path, 6)
    run.fit()
    agrees(tmp_path)
    assert run.best is not None
    assert run.best.epoch == load_record(tmp_path / BEST).epoch
    assert snnr.load(tmp_path).epoch == 6
    assert list(rows(tmp_path)[0]) == list(flat(run.history)[0])
    # what is no folder of a run has no such files
    trainer(tiny, tmp_path / "other" / "c.h5", epochs=1).fit()
    assert os.listdir(tmp_path / "other") == ["c.h5"]


class Scores(Callback):
    """Has epochs end with an accuracy and a connectivity of its choice."""

    def __init__(self, *scores: tuple[float, float]) -> None:
        self.scores = scores

    def epoch(self, trainer: Trainer, row: Mapping[str, Any]) -> None:
        accuracy, connectivity = self.scores[trainer.epoch - 1]
        trainer.history["test_accuracy"][-1] = accuracy
        trainer.history["connectivity"][-1] = connectivity


@pytest.mark.parametrize(
    ("scores", "target", "best"),
    [
        (((0.5, 1), (0.7, 1), (0.6, 1)), 0, 2),  # nothing is pruned
        (((0.5, 1), (0.7, 1), (0.7, 1)), 0, 2),  # the first of equals
        (((0.7, 0.5), (0.7, 0.48), (0.6, 0.47)), 0, 2),  # the sparser one of equals
        (((0.9, 0.9), (0.7, 0.5), (0.6, 0.3)), 0, 3),  # what was better before is out of reach
        (((0.9, 0.9), (0.6, 0.5), (0.7, 0.49), (0.65, 0.48)), 0, 3),
        (((0.9, 1), (0.8, 0.2), (0.7, 0.11), (0.6, 0.1)), 0.1, 3),  # at the target
        (((0.9, 0.11), (0.8, 0.05), (0.7, 0.02)), 0.1, 1),  # below it everything counts
    ],
)
def test_the_best_is_the_most_accurate_within_reach(
    tiny: Dataset, tmp_path: Path, scores: Any, target: float, best: int
) -> None:
    net = trainer(tiny).network
    optimizer = snnr.optim.GradR(net.parameters(), lr=0.01, target_connectivity=target)
    path = tmp_path / CHECKPOINT
    Trainer(
        net, optimizer, tiny, 50, len(scores), checkpoint=path, callbacks=[Scores(*scores)]
    ).fit()
    assert load_record(tmp_path / BEST).epoch == best
    agrees(tmp_path, target)


class Killed(BaseException):
    """As if the process had ended here."""


@pytest.mark.parametrize("write", range(1, 11))
def test_what_a_kill_between_two_files_left_is_put_right(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: int
) -> None:
    """Dies in front of each rename of a run that replaces another one, which it must not become."""
    old = begun(tiny, tmp_path, 2, seed=1)
    old.fit()
    whole = begun(tiny, tmp_path / "whole")
    whole.fit()
    renames = 0
    rename = os.replace

    def counted(*names: Path) -> None:
        nonlocal renames
        renames += 1
        if renames == write:
            raise Killed
        rename(*names)

    with monkeypatch.context() as patched:
        patched.setattr(file.os, "replace", counted)
        patched.setattr(Trainer, "save", no_save_when_dead(Trainer.save))
        with pytest.raises(Killed):
            begun(tiny, tmp_path).fit()
    shutil.copytree(tmp_path / "whole", tmp_path / "kept")
    shutil.rmtree(tmp_path / "whole")
    if load_record(tmp_path).config["seed"] == 1:
        assert set(os.listdir(tmp_path)) - {"kept"} == FILES
        return  # before there was anything new
    again = Trainer.resume(tmp_path, tiny)
    again.fit()
    shutil.rmtree(tmp_path / "kept")
    agrees(tmp_path)
    assert again.history["test_accuracy"] == whole.history["test_accuracy"]


def no_save_when_dead(save: Any) -> Any:
    def saved(run: Trainer) -> None:
        if not isinstance(sys.exc_info()[1], Killed):
            save(run)

    return saved


def test_a_resumed_run_goes_on_in_its_files(tiny: Dataset, tmp_path: Path) -> None:
    run = begun(tiny, tmp_path / "a", callbacks=[StopAt(3), StopAt(9)])
    with pytest.raises(snnr.Interrupted):
        run.fit()
    assert set(os.listdir(tmp_path / "a")) == {CHECKPOINT, LOG}
    with pytest.raises(snnr.Interrupted):
        run.fit()  # the same one, once more
    agrees(tmp_path / "a")
    Trainer.resume(tmp_path / "a", tiny).fit()
    agrees(tmp_path / "a")
    begun(tiny, tmp_path / "b").fit()
    texts = [(tmp_path / name / HISTORY).read_text() for name in "ab"]
    assert timeless(texts[0]) == timeless(texts[1])
    log = (tmp_path / "a" / LOG).read_text().splitlines()
    kinds = ("from the beginning", "asked to stop", "ended by", "going on", "epoch ", "done: 4")
    told = [next((k for k in kinds if k in line), "") for line in log]
    assert [kind for kind in told if kind] == [
        "from the beginning", "asked to stop", "ended by",
        "going on", "epoch ", "asked to stop", "ended by",
        "going on", "epoch ", "epoch ", "epoch ", "done: 4",
    ]  # fmt: skip


def timeless(text: str) -> list[list[str]]:
    table = list(csv.reader(text.splitlines()))
    place = table[0].index("seconds")
    return [row[:place] + row[place + 1 :] for row in table]


def test_the_log_tells_what_was_started(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["/bin/snnr", "train", "odd \x1b[31mname"])
    run = begun(tiny, tmp_path, 1, config={"note": "\x1b]0;title\x07"})
    run.fit()
    lines = (tmp_path / LOG).read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d  \S", line) for line in lines)
    text = "\n".join(lines)
    assert f"snnr {snnr.__version__}, numpy " in text
    assert "command: snnr train 'odd \\x1b[31mname'" in text
    assert '"batch_size": 32' in text
    assert "device cpu; from the beginning" in text
    assert "epoch 1/1  loss " in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)
    begun(tiny, tmp_path, 2).fit()  # in its place
    assert (tmp_path / LOG).read_text().count("from the beginning") == 1


def test_an_old_run_keeps_its_files_until_the_new_one_saves(tiny: Dataset, tmp_path: Path) -> None:
    begun(tiny, tmp_path, 2).fit()
    before = {name: (tmp_path / name).read_bytes() for name in FILES}

    class Wrong(Callback):
        def step(self, trainer: Trainer) -> None:
            raise OSError("before the first epoch")

    with pytest.raises(OSError, match="before the first"):
        begun(tiny, tmp_path, 3, callbacks=[Wrong()]).fit()
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == before
    # one that is stopped in its first epoch has no best epoch yet, and no row
    with pytest.raises(snnr.Interrupted):
        begun(tiny, tmp_path, 3, callbacks=[StopAt(2)]).fit()
    assert set(os.listdir(tmp_path)) == {CHECKPOINT, LOG}


@pytest.mark.parametrize("name", [BEST, HISTORY, LOG])
def test_what_cannot_be_written_is_told_before_the_first_step(
    tiny: Dataset, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).mkdir()
    run = begun(tiny, tmp_path)
    with pytest.raises(snnr.CheckpointError, match=f"{name}: cannot be written"):
        run.fit()
    assert run.optimizer.step_count == 0


def test_a_full_disk_leaves_whole_files(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room for the checkpoint of the second epoch, and for nothing after it."""
    run = begun(tiny, tmp_path)
    replace = file.replace

    def small(path: Path, content: bytes) -> None:
        if run.epoch == 2 and path.name == HISTORY:
            monkeypatch.setattr(file.os, "write", no_room)
        replace(path, content)

    def no_room(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder, "replace", small)
    with pytest.raises(snnr.CheckpointError, match=r"history\.csv: cannot be written \(No space"):
        run.fit()
    assert [row["epoch"] for row in rows(tmp_path)] == [1]
    assert snnr.load(tmp_path).epoch == 2
    monkeypatch.undo()
    Trainer.resume(tmp_path, tiny).fit()
    agrees(tmp_path)
    log = (tmp_path / LOG).read_text()
    assert log.endswith("\n")
    assert "ended by" not in log  # for which there was no room


def test_half_a_line_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from snnr.training import log

    path = tmp_path / LOG
    log._append(path, b"first\n")
    write = os.write
    monkeypatch.setattr(log.os, "write", lambda handle, content: write(handle, content[:3]))
    log._append(path, b"second\n")
    monkeypatch.undo()
    log._append(path, b"third\n")
    assert path.read_bytes() == b"first\nthird\n"


def test_what_is_not_of_this_run_does_not_stay(tiny: Dataset, tmp_path: Path) -> None:
    begun(tiny, tmp_path, 2, seed=1).fit()
    foreign = (tmp_path / BEST).read_bytes()
    for content in (foreign, b"no checkpoint"):
        begun(tiny, tmp_path, 2).fit()
        (tmp_path / BEST).write_bytes(content)
        run = Trainer.resume(tmp_path, tiny, epochs=4, callbacks=[StopAt(3)])
        with pytest.raises(snnr.Interrupted):
            run.fit()
        # of the second epoch, the only one that there still is
        assert load_record(tmp_path / BEST).epoch == 2
        assert (tmp_path / BEST).read_bytes() != content


def test_a_signal_in_the_log_is_one_line(tiny: Dataset, tmp_path: Path) -> None:
    class Twice(Callback):
        def step(self, trainer: Trainer) -> None:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(snnr.Interrupted):
        begun(tiny, tmp_path, callbacks=[Twice()]).fit()
    log = (tmp_path / LOG).read_text()
    assert log.count("asked to stop") == 1
    assert "ended by Interrupted: interrupted in epoch 1, step 1 of 6; saved to" in log
