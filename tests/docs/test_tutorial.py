"""The tutorial runs, and what it shows is what comes out."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
NOTEBOOK = DOCS / "tutorial.ipynb"
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def shown(notebook: dict[str, Any]) -> list[str]:
    """What each code cell shows; a picture is a word."""
    told = []
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            told.append("".join(output.get("text", "")))
            told[-1] += "".join(output.get("data", {}).get("text/plain", ""))
    return told


def compare(stored: list[str], now: list[str]) -> None:
    """The same words; numbers but for what another order of summation may do to a training."""
    assert len(stored) == len(now)
    for before, after in zip(stored, now, strict=True):
        assert NUMBER.sub("#", before).split() == NUMBER.sub("#", after).split()
        for one, other in zip(NUMBER.findall(before), NUMBER.findall(after), strict=True):
            a, b = (float(text.replace(",", "")) for text in (one, other))
            assert abs(a - b) < (1.5 if "." in one else 1e-9), (before, after)


def test_a_figure_that_is_off_is_seen() -> None:
    compare(["97.0 % of 300"], ["96.2 % of 300"])
    for other in ("95.0 % of 300", "97.0 % of 301", "97.0 % for 300"):
        with pytest.raises(AssertionError):
            compare(["97.0 % of 300"], [other])


@pytest.mark.slow
def test_the_tutorial(tmp_path: Path) -> None:
    copy = tmp_path / NOTEBOOK.name
    copy.write_bytes(NOTEBOOK.read_bytes())
    done = subprocess.run(
        [sys.executable, "-W", "error", DOCS / "notebook.py", copy],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    stored, now = (json.loads(path.read_text(encoding="utf-8")) for path in (NOTEBOOK, copy))
    compare(shown(stored), shown(now))
    pictures = [output for cell in stored["cells"] for output in cell.get("outputs", [])
                if "image/png" in output.get("data", {})]  # fmt: skip
    assert len(pictures) == 1
    assert NOTEBOOK.stat().st_size < 100_000
