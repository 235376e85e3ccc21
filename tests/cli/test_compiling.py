"""Compilations are shown."""

import time
from typing import Any

import numba
import pytest
from snnr.cli import compiling


def kernel(step: float) -> Any:
    """Compiled when it is first called, and again for another type."""

    @numba.njit
    def _raised(x: float) -> float:
        return x + step

    return _raised


def test_every_compilation_has_a_spinner_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "22")
    made = compiling.Compiling
    shown: list[compiling.Compiling] = []

    def on_terminal() -> compiling.Compiling:
        shown.append(made())
        shown[0].terminal = True
        return shown[0]

    monkeypatch.setattr(compiling, "Compiling", on_terminal)
    end = compiling.watch(cuda=False)
    raised = kernel(1.0)
    try:
        for value in (1, 1.5):
            assert raised(value) == value + 1
            told = capsys.readouterr().err
            assert "| compiling raised  0:"[:21] in told
            assert told.endswith("\r")  # and what clears the line, which is for terminals
            assert all(len(line) < 22 for line in told.split("\r"))
        assert raised(2) == 3
        assert capsys.readouterr().err == ""  # that was compiled before
    finally:
        end()
    kernel(2.0)(1)
    assert capsys.readouterr().err == ""
    assert not shown[0]._thread.is_alive()


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
