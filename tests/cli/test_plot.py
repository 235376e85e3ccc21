"""snnr plot: every figure is drawn, with words and numbers that are in it."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest
from click.testing import Result

Run = Callable[..., Result]


@pytest.fixture(scope="module", autouse=True)
def _matplotlib() -> None:
    pytest.importorskip("matplotlib")


def texts(path: Path) -> str:
    """The words of an SVG, which stand in comments beside their outlines."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(line.strip() for line in lines if "<!--" in line)


def test_a_sweep_and_a_run_are_drawn(
    answer: Callable[..., dict[str, Any]], sweep_folder: Path, tmp_path: Path
) -> None:
    one = next(sweep_folder.glob("grad-r-*prior0.05-seed0-*"))
    found = answer("plot", sweep_folder, one, "--format", "svg", "--out", tmp_path / "f")
    assert [Path(file).name.removeprefix(f"{one.name}-") for file in found["files"]] == [
        "tradeoff.svg", "epochs.svg", "changes.svg", "layers.svg", "histograms.svg", "fields.svg",
        "raster.svg",
    ]  # fmt: skip
    words = {Path(f).stem.rsplit("-", 1)[-1]: texts(Path(f)) for f in found["files"]}
    for name, told in {
        "tradeoff": ("connectivity: surviving weights, % (log scale)", "Pareto front", "grad-r",
                     "mean of up to 2 seeds, bars: one standard deviation"),
        "epochs": ("test accuracy, %", "grad-r, prior 0.5", "epoch"),
        "changes": ("pruned connections (log)", "regrown connections (log)", "1_linear"),
        "layers": ("firing rate, %", "silent neurons, %", "4_lif"),
        "histograms": ("theta of all (below 0: pruned)", "w of survivors"),
        "fields": ("weight; grey: pruned",),
        "raster": ("time step", "neuron", "2_lif: 8 neurons"),
    }.items():  # fmt: skip
        for text in told:
            assert text in words[name], name


@pytest.mark.parametrize(("kind", "begins"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_formats_and_the_folder_beside(
    run: Run, sweep_folder: Path, kind: str, begins: bytes
) -> None:
    done = run("plot", sweep_folder, "--format", kind, "--figure", "tradeoff")
    path = sweep_folder / "figures" / f"tradeoff.{kind}"
    assert done.stdout.strip() == str(path)
    first = path.read_bytes()
    assert first.startswith(begins)
    if kind == "pdf":  # which could hold the time of drawing
        run("plot", sweep_folder, "--format", kind, "--figure", "tradeoff")
        assert path.read_bytes() == first


def test_what_cannot_be_drawn_is_told(
    run: Run, sweep_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = next(sweep_folder.glob("dense-*"))
    told = run("plot", one, "--figure", "raster", "--image", 999, "--out", tmp_path).stderr
    assert f"no raster of {one.name}: " in told
    assert "test images 0 to 79" in told
    assert "'pie' is not one of" in run("plot", one, "--figure", "pie", code=2).stderr
    told = run("plot", sweep_folder, "--figure", "fields", code=2).stderr
    assert "fields is of one run: name one, or give --each" in told
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "pip install 'snnr[plot]'" in run("plot", one, code=2).stderr


def test_names_of_a_stranger_are_no_formulas_and_obey_nothing(
    run: Run, sweep_folder: Path, tmp_path: Path
) -> None:
    """A layer of the history called like a formula, in a file that the digest is not kept of."""
    path = tmp_path / "odd.h5"
    path.write_bytes((next(sweep_folder.glob("dense-*")) / "checkpoint.h5").read_bytes())
    with h5py.File(path, "a") as file:
        file.attrs["format_version"] = 1
        group = file["history/firing_rate"]
        group.move("2_lif", "$\\frac{1}{2$ \u202e")
    run("plot", path, "--figure", "layers", "--format", "svg", "--out", tmp_path)
    assert "$\\frac{1}{2$ \\u202e" in texts(tmp_path / "layers.svg")
