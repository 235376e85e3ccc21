"""Following a training from a program: lines on stderr, and events enough for a bar."""

import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from snnr.data import Dataset

import snnr
from snnr.training import Callback, Lines, Trainer

from .runs import StopAt, trainer


def test_progress_is_a_line_an_epoch_on_stderr(
    tiny: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trainer(tiny)
    history = run.fit(progress=True)
    told = capsys.readouterr()
    assert told.out == ""
    lines = told.err.splitlines()
    assert lines.pop(1).startswith("warning: 7_lif, the output, does not fire on any test image")
    assert len(lines) == 3
    for number, line in enumerate(lines):
        accuracy, share = (history[key][number] for key in ("test_accuracy", "connectivity"))
        assert line.startswith(f"epoch {number + 1}/3  loss {history['train_loss'][number]:.4f}")
        assert f"  test {100 * accuracy:.2f} %  connectivity {100 * share:.2f} %  " in line
        assert line.isprintable()
        assert len(line) < 80
    run.epochs = 4
    run.fit()
    assert capsys.readouterr().err == ""  # only where it is asked for


def test_lines_tell_of_trouble_and_need_no_listener(
    tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    lines.warning(trainer(tiny), "odd\x1b[31m")
    lines.stopping()
    assert stream.getvalue() == "warning: odd\\x1b[31m\nstopping after this step\n"
    stream.close()
    for nobody in (stream, None):
        monkeypatch.setattr(sys, "stderr", nobody)
        trainer(tiny, epochs=1).fit(progress=True)


class Events(Callback):
    """What happened, in order."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def begin(self, trainer: Trainer) -> None:
        self.names.append(f"begin {trainer.epoch} {trainer.position}")

    def step(self, trainer: Trainer) -> None:
        self.names.append("step")

    def epoch(self, trainer: Trainer, row: Mapping[str, Any]) -> None:
        self.names.append(f"epoch {row['epoch']}")

    def stopping(self) -> None:
        self.names.append("stopping")

    def end(self, trainer: Trainer, error: BaseException | None) -> None:
        self.names.append(f"end {type(error).__name__}")


def test_a_training_begins_and_ends_whatever_happens(tiny: Dataset, tmp_path: Path) -> None:
    events, path = Events(), tmp_path / "c.h5"
    with pytest.raises(snnr.Interrupted):
        trainer(tiny, path, epochs=2, callbacks=[events, StopAt(8)]).fit()
    first, events.names = events.names, []
    assert first == [
        "begin 0 0", *["step"] * 6, "epoch 1", "step", "step", "stopping", "end Interrupted",
    ]  # fmt: skip
    run = Trainer.resume(path, tiny, callbacks=[events])
    run.fit()
    second, events.names = events.names, []
    assert second == ["begin 1 2", *["step"] * 4, "epoch 2", "end NoneType"]
    run.fit()  # there is nothing left to do
    assert events.names == ["begin 2 0", "end NoneType"]

    class Wrong(Callback):
        def epoch(self, trainer: Trainer, row: Mapping[str, Any]) -> None:
            raise OSError("no board")

    events.names = []
    with pytest.raises(OSError, match="no board"):
        trainer(tiny, epochs=2, callbacks=[events, Wrong()]).fit()
    assert events.names[-2:] == ["epoch 1", "end OSError"]


def test_the_events_suffice_for_a_bar(tiny: Dataset, tmp_path: Path) -> None:
    """As in docs/following.md, with a bar that knows when it was told too much or too little."""
    tqdm = pytest.importorskip("tqdm")

    class Bar(Callback):
        def begin(self, trainer: Trainer) -> None:
            done = trainer.epoch * trainer.batches + trainer.position
            total = trainer.epochs * trainer.batches
            self.bar = tqdm.tqdm(total=total, initial=done, file=io.StringIO())

        def step(self, trainer: Trainer) -> None:
            self.bar.update()

        def end(self, trainer: Trainer, error: BaseException | None) -> None:
            self.bar.close()

    bar, path = Bar(), tmp_path / "c.h5"
    with pytest.raises(snnr.Interrupted):
        trainer(tiny, path, epochs=2, callbacks=[bar, StopAt(8)]).fit()
    assert bar.bar.n == 8
    Trainer.resume(path, tiny, callbacks=[bar]).fit()
    assert (bar.bar.n, bar.bar.total) == (12, 12)
