"""Running commands in a folder of their own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from snnr.cli import main

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """run("train", "mnist", code=0) -> the result; the exit code is checked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SNNR_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def invoke(*arguments: Any, code: int = 0) -> Result:
        result = CliRunner().invoke(main, [str(a) for a in arguments])
        assert result.exit_code == code, result.output
        return result

    return invoke


@pytest.fixture
def answer(run: Run) -> Callable[..., dict[str, Any]]:
    """As `run` with --json: the one object on stdout."""

    def invoke(*arguments: Any) -> dict[str, Any]:
        value = json.loads(run(*arguments, "--json").stdout)
        assert isinstance(value, dict)
        return value

    return invoke


@pytest.fixture(scope="session")
def short() -> tuple[str, ...]:
    """Options of a training of a second."""
    return ("--epochs", "2", "--batch-size", "20", "-T", "3", "--lr", "0.01", "--prior", "0.05")


@pytest.fixture
def trained(run: Run, tiny_file: Path, short: tuple[str, ...], tmp_path: Path) -> Path:
    """Folder of a finished run."""
    run("train", tiny_file, *short, "--out", tmp_path / "run")
    return tmp_path / "run"
