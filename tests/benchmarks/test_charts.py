"""The charts of the documents, from numbers that are made up or kept: their words, and that no word
lies on a curve."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import accuracy
import numpy as np
import pytest
import sparsity_chart
import steering

pytest.importorskip("matplotlib")
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Figures that were written, to be looked at."""
    found: list[Figure] = []
    save = Figure.savefig

    def kept(figure: Figure, *arguments: Any, **more: Any) -> None:
        found.append(figure)
        save(figure, *arguments, **more)

    monkeypatch.setattr(Figure, "savefig", kept)
    return found


def words(axes: Any) -> list[Text]:
    """What stands inside of the axes."""
    return [one for one in axes.texts if one.get_text().strip()]


def touched(axes: Any) -> Iterator[str]:
    """Words that lie on a curve or a mark of the same axes, or on other words."""
    boxes = [(one.get_text(), Text.get_window_extent(one)) for one in words(axes)]
    for text, box in boxes:
        for line in axes.get_lines():
            path = line.get_transform().transform_path(line.get_path())
            if len(path.vertices) > 1 and path.intersects_bbox(box, filled=False):
                yield f"{text} on {line.get_label()}"
        for marks in axes.collections:
            offsets = marks.get_offset_transform().transform(np.ma.getdata(marks.get_offsets()))
            if len(offsets) and any(box.contains(*place) for place in offsets):
                yield f"{text} on a mark of {marks.get_label()}"
        for other, beside in boxes:
            if other != text and box.overlaps(beside):
                yield f"{text} on {other}"


def ticks(axis: Any) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels() if label.get_text()]


def sound(figure: Figure) -> None:
    """What every chart of the documents has."""
    figure.draw_without_rendering()
    for axes in figure.axes:
        assert axes.get_title(loc="left")
        assert axes.get_xlabel()
        assert axes.get_ylabel()
        assert list(touched(axes)) == []
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_scale() == "log":
                assert len(ticks(axis)) >= 3
                assert all(float(text) > 0 for text in ticks(axis)), ticks(axis)  # no powers of ten


def test_the_overlap_of_words_and_curves_is_seen() -> None:
    figure = Figure()
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], label="curve")
    axes.scatter([0.2], [0.8], label="marks")
    on = axes.annotate("on it", (0.5, 0.5), ha="center", va="center")
    off = axes.annotate("off it", (0.8, 0.2))
    dot = axes.annotate("dot", (0.2, 0.8), ha="center", va="center")
    figure.draw_without_rendering()
    assert all(isinstance(one, Annotation) for one in (on, off, dot))
    assert list(touched(axes)) == ["on it on curve", "dot on a mark of marks"]


def point(contender: str, density: float, connectivity: float, ms: float) -> dict[str, Any]:
    return {
        "contender": contender, "density": density, "connectivity": connectivity,
        "median_ms": ms, "p10_ms": 0.9 * ms, "p90_ms": 1.3 * ms,
    }  # fmt: skip


@pytest.mark.parametrize(
    "contenders",
    [["snnr"], ["snnr", "snnr-set"],
     ["snnr", "snnr-set", "snnr-rigl", "snnr-deep-r", "snnr-magnitude", "snnr-imp", "eager"]],
    ids=len,
)  # fmt: skip
def test_speed_for_any_number_of_methods(
    drawn: list[Figure], tmp_path: Path, contenders: list[str]
) -> None:
    shares = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
    series: sparsity_chart.Series = {}
    for work, whole in (("csnn", 200.0), ("mnist_fc", 8.0)):
        falling = [
            point(name, 0.1, c, whole * (0.3 + 0.1 * k + 0.5 * c + 0.2 * (c == 0.5)))
            for c in shares
            for k, name in enumerate(contenders)
        ]
        dense = point("snnr-dense", 0.1, 1.0, whole)
        rising = [point("snnr", d, 1.0, whole * (0.5 + 2 * d)) for d in (0.02, 0.1, 0.4)]
        series[work] = {"connectivity": [dense, *falling], "density": rising}
    path = tmp_path / "new" / "chart.png"
    sparsity_chart.draw(series, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    (figure,) = drawn
    sound(figure)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [
        "csnn: step against connectivity", "csnn: step against spike density",
        "mnist_fc: step against connectivity", "mnist_fc: step against spike density",
    ]  # fmt: skip
    left, right, *_ = figure.axes
    assert ticks(left.xaxis) == ["1", "2", "5", "10", "20", "50", "100"]
    assert ticks(right.xaxis) == ["2", "10", "40"]
    assert [one.get_text().strip() for one in words(left)] == ["dense kernels"]
    assert not words(right)
    (legend,) = figure.legends
    told = [one.get_text() for one in legend.get_texts()]
    named = [sparsity_chart.LABELS.get(name, name) for name in contenders]
    assert sorted(told) == sorted(["dense, Adam", *named])
    looks = {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in left.lines}
    assert len(looks) == len(left.lines) == 1 + len(contenders)  # each told from the others
    assert "10th to 90th percentile" in figure.get_suptitle()
    assert "50 % is no faster than 100 %" in figure.get_suptitle()
    box = figure._suptitle.get_window_extent()
    assert box.x1 <= figure.bbox.x1
    assert box.y0 >= max(axes.get_tightbbox().y1 for axes in figure.axes)


def test_speed_as_it_was_measured(drawn: list[Figure], tmp_path: Path) -> None:
    kept = json.loads((RESULTS / "sparsity.json").read_text())["works"]
    sparsity_chart.draw(kept, tmp_path / "chart.png")
    sound(drawn[0])


def test_accuracy_as_it_was_measured(drawn: list[Figure], tmp_path: Path) -> None:
    runs = json.loads((RESULTS / "accuracy.json").read_text())["runs"]
    accuracy.draw([run for run in runs if run["epochs"] == 12], tmp_path / "chart.png")
    (figure,) = drawn
    sound(figure)
    (axes,) = figure.axes
    assert ticks(axes.xaxis) == ["1", "2", "5", "10", "20", "50", "100"]
    assert {"dense Adam", "prior 0.05"} <= {one.get_text() for one in words(axes)}
    box = axes.get_legend().get_window_extent()
    for line in axes.get_lines():
        path = line.get_transform().transform_path(line.get_path())
        assert not path.intersects_bbox(box, filled=False), line.get_label()


def test_priors_as_they_were_measured(drawn: list[Figure], tmp_path: Path) -> None:
    runs = json.loads((RESULTS / "steering.json").read_text())
    assert [run["given"] for run in runs] == steering.RUNS
    steering.draw(runs, tmp_path / "chart.png")
    (figure,) = drawn
    sound(figure)
    falling, ending, moving, learning = figure.axes
    assert ticks(ending.yaxis) == ["1", "2", "5", "10", "20", "50", "100"]
    assert ticks(ending.xaxis) == ticks(learning.xaxis) == ["0.01", "0.03", "0.1", "0.3", "0.6"]
    assert ticks(falling.xaxis) == list("12345678")
    assert {"0.01", "0.1", "1"} <= set(ticks(moving.yaxis))
    told = [one.get_text() for one in ending.get_legend().get_texts()]
    assert told == ["sparsity 0.5", "sparsity 0.6 and 0.95, which end alike"]
    for axes in figure.axes:
        box = axes.get_legend().get_window_extent()
        for line in axes.get_lines():
            path = line.get_transform().transform_path(line.get_path())
            assert not path.intersects_bbox(box, filled=False), line.get_label()
