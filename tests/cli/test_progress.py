"""Progress on a terminal and without one."""

import re
import time
from types import SimpleNamespace
from typing import Any

import pytest
from snnr.cli.pace import Pace, clock, duration
from snnr.cli.progress import Display, Downloads, epoch_line

from snnr import nn, optim

ROW: dict[str, Any] = {
    "epoch": 3, "train_loss": 0.1, "train_accuracy": 0.5, "test_accuracy": 0.25,
    "connectivity": 0.125, "pruned": {"a": 3, "b": 4}, "regrown": {"a": 1, "b": 1}, "seconds": 2.0,
}  # fmt: skip


def state(position: int, weights: int = 1000) -> Any:
    weight = SimpleNamespace(size=weights, role="weight")
    return SimpleNamespace(
        epoch=2, epochs=10, position=position, batches=8, mean_loss=0.5, optimizer=None,
        network=SimpleNamespace(parameters=lambda: [weight, SimpleNamespace(size=9, role="bias")]),
    )  # fmt: skip


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
    for _ in range(21):
        display.epoch(state(0), ROW)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "epoch 3/10  step 4/8  loss 0.5000"
    assert [line for line in lines if "step" in line] == lines[:3]
    titles = "               loss     train      test  connectivity  pruned  regrown     time"
    row = "epoch  3/10  0.1000   50.00 %   25.00 %       12.50 %       7        2    2.0 s"
    # the titles come again before they are out of sight
    assert lines[3:] == [titles, *[row] * 20, titles, row]


def test_what_matters_less_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(columns: int, left: float | None, **changed: Any) -> dict[str, str]:
        trainer = state(0, changed.pop("weights", 635_200))
        trainer.optimizer = changed.pop("optimizer", None)
        titles, line = epoch_line(trainer, {**ROW, **changed}, left, columns)
        assert len(titles) == len(line) <= columns
        ends = [match.end() for match in re.finditer(r"\S+", titles)]
        starts = [len("epoch  3/10"), *ends[:-1]]
        return {titles[a:b].strip(): line[a:b].strip() for a, b in zip(starts, ends, strict=True)}

    optimizer = optim.GradR(nn.Linear(2, 2, rng=0).parameters(), target_connectivity=0.05)
    steered = {"optimizer": optimizer, "settings": {"prior": 0.0123}}
    every = ["loss", "train", "test", "connectivity", "pruned", "regrown", "time", "ETA"]
    assert list(told(89, 61.0)) == every
    assert list(told(80, 61.0)) == [title for title in every if title != "time"]
    assert list(told(80, None)) == every[:-1]
    assert "prior" not in told(80, None)
    assert told(80, 61.0, **steered)["prior"] == "0.012"
    assert "train" not in told(80, 61.0, **steered)
    assert list(told(120, 61.0, **steered)) == [*every[:4], "prior", *every[4:]]
    assert list(told(60, 61.0)) == ["test", "connectivity", "pruned", "regrown"]
    assert told(46, 61.0)["change"] == "-5"
    assert told(46, None, pruned={"a": 1}, regrown={"a": 1200})["change"] == "+1,199"
    assert told(80, None, pruned={"a": 600_000})["pruned"] == "600,000"
    assert told(80, 3723.4)["ETA"] == "1:02:03"
    assert list(told(24, None)) == ["test"]


def test_how_long_it_takes_still(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    pace, trainer = Pace(), state(1)
    now[0] = 60.0  # that the first step took to compile
    assert pace.step(trainer) is None
    trainer.position, now[0] = 5, 68.0
    # 2 s a step: 3 steps of this epoch and 7 epochs of 8 steps
    assert pace.step(trainer) == pytest.approx(2 * (3 + 7 * 8))
    assert pace.epoch(trainer, {"epoch": 3, "seconds": 80.0}) == 80 * 7
    trainer.epoch, trainer.position, now[0] = 3, 1, 80.0
    assert pace.step(trainer) is None
    trainer.position, now[0] = 2, 81.0
    # the epochs to come take as long as the last one, which was evaluated too
    assert pace.step(trainer) == pytest.approx(6 + 6 * 80)
    # what compiled is forgotten
    assert pace.epoch(trainer, {"epoch": 4, "seconds": 9.0}) == 9 * 6
    assert pace.epoch(trainer, {"epoch": 5, "seconds": 7.0}) == 8 * 5
    assert (clock(7.4), clock(3723.4)) == ("0:07", "1:02:03")
    assert (duration(99.94), duration(99.96)) == ("99.9 s", "1:40")


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
    assert "1.0 MB of 2.0 MB" in shown
