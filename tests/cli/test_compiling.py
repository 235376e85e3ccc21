"""Compilations are shown."""

import time
from collections.abc import Callable
from typing import Any

import numba
import pytest
from click.testing import Result
from snnr.cli import compiling


def kernel(step: float) -> Any:
    """Compiled when it is first called, and again for another type."""

    @numba.njit
    def _raised(x: float) -> float:
        return x + step

    return _raised


class Heard:
    """Stands in for the display."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def begin(self, name: str) -> None:
        self.told.append(name)

    def end(self) -> None:
        self.told.append("end")

    def close(self) -> None:
        self.told.append("close")


def test_every_compilation_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Heard()
    monkeypatch.setattr(compiling, "Compiling", lambda: heard)
    end = compiling.watch(cuda=False)
    raised = kernel(1.0)
    try:
        assert (raised(1), raised(2), raised(1.5)) == (2, 3, 2.5)
    finally:
        end()
    assert heard.told == ["raised", "end", "raised", "end", "close"]
    kernel(2.0)(1)
    assert heard.told[-1] == "close"


def test_commands_follow_what_is_compiled_until_they_end(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []

    def watch(cuda: bool) -> Callable[[], None]:
        heard.append(f"cuda {cuda}")
        return lambda: heard.append("end")

    monkeypatch.setattr(compiling, "watch", watch)
    run("eval", "nothing", "--device", "cpu", code=1)
    assert heard == ["cuda False", "end"]
    run("eval", "nothing", "--device", "cpu", "-q", code=1)
    assert len(heard) == 2


def test_a_spinner_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "22")
    monkeypatch.setattr(compiling, "_REFRESH", 0.01)
    display = compiling.Compiling()
    display.terminal = True
    for _ in range(2):
        display.begin("raised")
        display.begin("inner")
        time.sleep(0.2)
        display.end()
        display.end()
        told = capsys.readouterr().err
        # what clears a line is for terminals, and taken out here
        drawn = set(filter(None, told.split("\r")))
        assert drawn <= {f"{frame} compiling raised  0" for frame in "|/-\\"}
        assert len(drawn) > 1
        assert told.endswith("\r")
        time.sleep(0.05)
        assert capsys.readouterr().err == ""
    display.close()
    assert not display._thread.is_alive()


def test_elsewhere_a_line_once_for_what_takes_its_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "_REFRESH", 0.01)
    display = compiling.Compiling()
    display.begin("outer")
    display.begin("inner")
    display.end()
    time.sleep(0.1)
    assert capsys.readouterr().err == ""  # it may be over at once
    monkeypatch.setattr(compiling, "_PATIENCE", 0.05)
    time.sleep(0.2)
    display.end()
    display.begin("again")
    time.sleep(0.2)
    display.end()
    display.close()
    assert capsys.readouterr().err == (
        "compiling kernels for this machine, which takes a minute once\n"
    )
