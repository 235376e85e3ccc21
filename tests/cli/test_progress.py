"""Progress on a terminal and without one."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
from snnr.cli.progress import Display, Downloads

ROW: dict[str, Any] = {
    "epoch": 3, "train_loss": 0.1, "train_accuracy": 0.5, "test_accuracy": 0.25,
    "connectivity": 0.125, "pruned": {"a": 3, "b": 4}, "regrown": {"a": 1, "b": 1}, "seconds": 2.0,
}  # fmt: skip


def state(position: int) -> Any:
    return SimpleNamespace(
        epoch=2, epochs=10, position=position, batches=8, mean_loss=0.5, optimizer=None
    )


def test_a_bar_fits_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "monotonic", iter(range(100)).__next__)
    for columns in (80, 40, 10):
        monkeypatch.setenv("COLUMNS", str(columns))
        display = Display()
        display.terminal = True
        display._wait = 0
        display._due = 0
        display.step(state(4))
        line = capsys.readouterr().err.replace("\r", "").replace("\x1b[K", "")
        assert len(line) < columns
        assert line.startswith("epoch 3/1"[:columns])
        assert ("#" in line and "." in line) or columns < 80


def test_lines_without_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    display = Display()
    assert not display.terminal
    for second in range(100):
        now[0] = second
        display.step(state(4))
    display.epoch(state(0), ROW)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:-1] == ["epoch 3/10  step 4/8  loss 0.5000"] * 3
    assert lines[-1] == (
        "epoch  3/10  loss 0.1000  train 50.00 %  test 25.00 %  connectivity 12.50 %  pruned 7  "
        "regrown 2  2.0 s"
    )


def test_downloads(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Downloads(quiet=False, lines=True)
    for done in (1, 2, 3):
        lines("a/file.gz", done, None)
    assert capsys.readouterr().err == "a/file.gz\n"
    Downloads(quiet=True, lines=True)("a/file.gz", 1, 2)
    assert capsys.readouterr().err == ""
    bar = Downloads(quiet=False)
    bar._display.terminal = True
    bar("a/file.gz", 1_000_000, 2_000_000)
    assert "file.gz [" in (shown := capsys.readouterr().err)
    assert "1.0 of 2.0 MB" in shown
