"""docs/embedding.md: every snippet runs, in order, in one folder."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from snnr.export.c.check import compiler

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "embedding.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```(\w+)(?: (\S+))?\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
#: what a snippet needs that not every machine has
NEEDS = {
    "cc ": "cc",
    "make ": "make",
    "-f examples": "arm-none-eabi-gcc",
    "run\n": "qemu-system-arm",
}


def missing(code: str) -> list[str]:
    """Programs and packages that are not here."""
    wanted = {tool for sign, tool in NEEDS.items() if sign in code}
    if "-f examples" not in code:
        wanted -= {"make", "qemu-system-arm"}
    return [tool for tool in wanted if shutil.which(tool) is None]


def test_every_snippet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(SNIPPETS) > 8
    if compiler() is None:
        pytest.skip("no C compiler")
    (tmp_path / "bin").mkdir()
    shim = tmp_path / "bin" / "snnr"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m snnr "$@"\n')
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(shim.parent), prepend=":")
    shutil.copytree(ROOT / "examples" / "cortex_m", tmp_path / "examples" / "cortex_m")
    has_nir = True
    try:
        import nir  # noqa: F401
    except ImportError:
        has_nir = False
    told = {}
    for kind, name, code in SNIPPETS:
        if name:
            (tmp_path / name).write_text(code)
            continue
        if missing(code) or ("nir" in code and not has_nir):
            continue
        # as many words, less work
        code = code.replace("--epochs 12", "--epochs 1 --limit-train 1280 --lr 0.01")
        python = [sys.executable, "-W", "error", "-c", code]
        command = ["sh", "-e", "-c", code] if kind == "sh" else python
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (code, done.stderr)
        told[code.split()[-1]] = done.stdout + done.stderr
    assert "label" in told["./main"]
    assert told["./selftest"] == "0 of 2 golden vectors differ\n"
    if "run" in told:
        assert "0 of 2 golden vectors differ" in told["run"]


def test_it_names_what_there_is() -> None:
    for name in ("load_nir", "load_weights", "--check", "--quantize int8", "--scale layer"):
        assert name in TEXT
