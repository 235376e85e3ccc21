"""snnr export."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

from snnr.export.c.check import compiler

Run = Callable[..., Result]
Answer = Callable[..., dict[str, Any]]


def test_to_c(run: Run, answer: Answer, trained: Path, tmp_path: Path) -> None:
    told = answer("export", trained, "--to", "c", "--quantize", "int8", "-o", "net.h", "--prefix",
                  "tiny")  # fmt: skip
    text = (tmp_path / "net.h").read_text()
    assert f"#define TINY_TABLE_BYTES {told['flash_tables']}" in text
    assert f"#define TINY_BUFFER_BYTES {told['ram_buffers']}" in text
    assert told["timesteps"] == 3
    assert "static inline int32_t tiny_predict(const uint8_t *input" in text
    assert "float" not in text.replace("floating", "").split("tiny_golden")[0].split("RATE")[1][50:]
    shown = run("export", trained, "--to", "c", "-T", "2").stdout
    assert "network.h" in shown
    assert "T=2" in shown
    assert "bytes of buffers, no heap" in shown
    assert "NETWORK_STEPS 2" in (tmp_path / "network.h").read_text()


@pytest.mark.skipif(compiler() is None, reason="no C compiler")
def test_checked(answer: Answer, trained: Path) -> None:
    told = answer("export", trained, "--to", "c", "--check")
    assert told["images"] == 80
    assert told["accuracy"] == pytest.approx(told["accuracy_dense"], abs=0.03)


def test_without_the_data_set(run: Run, trained: Path, tiny_file: Path, tmp_path: Path) -> None:
    hidden = tiny_file.rename(tiny_file.with_name("gone.npz"))
    try:
        run("export", trained, "--to", "c", "-o", "a.h")
        assert (tmp_path / "a.h").exists()
        failed = run("export", trained, "--to", "c", "-o", "b.h", "--check", code=2)
        assert "--check needs the test images" in failed.stderr
        assert not (tmp_path / "b.h").exists()
    finally:
        hidden.rename(tiny_file)


def test_to_npz_and_nir(answer: Answer, run: Run, trained: Path, tmp_path: Path) -> None:
    answer("export", trained, "--to", "npz")
    with np.load(tmp_path / "network.npz", allow_pickle=False) as file:
        assert "1_linear/data" in file.files
    pytest.importorskip("nir")
    told = answer("export", trained, "--to", "nir", "--dt", "0.001")
    assert told["file"] == "network.nir"
    assert told["size"] == (tmp_path / "network.nir").stat().st_size


def test_wrong_usage(run: Run, trained: Path, tmp_path: Path) -> None:
    assert "for --to c" in run("export", trained, "--to", "npz", "--check", code=2).stderr
    assert "identifier" in run("export", trained, "--to", "c", "--prefix", "1", code=2).stderr
    assert "nowhere" in run("export", tmp_path / "nowhere", "--to", "c", code=1).stderr
    assert not (tmp_path / "network.h").exists()
