"""What is drawn is what was measured: the numbers, marks and words of every figure."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnr
from snnr.checkpoint import Record
from snnr.figures import gather, groups, pareto, points
from snnr.figures.runs import Run
from snnr.figures.spikes import Layer, Raster
from snnr.figures.weights import Fields, Histogram

pytest.importorskip("matplotlib")
from matplotlib.colors import to_hex

from snnr.figures import draw, style
from snnr.figures.matrix import confusion


def record(name: str, epochs: int = 2, connectivity: float = 0.2, **config: Any) -> Run:
    """A run that nobody trained, of one layer: half of its answers were right after every epoch."""
    history: dict[str, Any] = {
        "epoch": list(range(1, epochs + 1)), "test_accuracy": [0.5] * epochs,
        "connectivity": [connectivity] * epochs,
    }  # fmt: skip
    told = {"method": "dense", "seed": 0, **config}
    return Run(name, Record(Path(name), told, history, epochs, 1, 0.5, connectivity, "today"))


def ticks(axis: Any) -> dict[str, float]:
    """Label -> place, of what lies within the view."""
    low, high = sorted(axis.get_view_interval())
    places = [place for place in axis.get_majorticklocs() if low <= place <= high]
    return dict(zip(axis.get_major_formatter().format_ticks(places), places, strict=True))


def titles(axes: Any) -> tuple[str, str]:
    return axes.get_title(loc="left"), axes.get_title(loc="right")


def test_the_tradeoff_is_mean_and_spread_in_percent_and_the_front(sweep_folder: Path) -> None:
    runs = gather([sweep_folder])
    (axes,) = draw.tradeoff(runs).axes
    found = points(runs)
    bars = {bar.get_label(): bar for bar in axes.containers}
    assert list(bars) == ["dense", "grad-r"]
    for curve, bar in bars.items():
        mine = [point for point in found if point.curve == curve]
        line, _, (across, up) = bar.lines
        np.testing.assert_allclose(line.get_xdata(), [100 * p.connectivity for p in mine])
        np.testing.assert_allclose(line.get_ydata(), [100 * p.accuracy for p in mine])
        for segment, p in zip(up.get_segments(), mine, strict=True):
            ends = 100 * (p.accuracy - p.accuracy_spread), 100 * (p.accuracy + p.accuracy_spread)
            np.testing.assert_allclose(segment[:, 1], ends)
        for segment, p in zip(across.get_segments(), mine, strict=True):
            assert 0 < segment[0, 0] <= segment[1, 0]
            if p.connectivity_spread < p.connectivity:
                assert np.ptp(segment[:, 0]) == pytest.approx(200 * p.connectivity_spread)
    (front,) = (line for line in axes.lines if line.get_label() == "Pareto front")
    best = pareto(found)
    np.testing.assert_allclose(front.get_xdata(), [100 * p.connectivity for p in best])
    np.testing.assert_allclose(front.get_ydata(), [100 * p.accuracy for p in best])
    assert front.get_drawstyle() == "steps-post"
    assert front.get_zorder() < min(bar.lines[0].get_zorder() for bar in bars.values())
    assert axes.get_xscale() == "log"
    low, high = axes.get_xlim()
    assert low < 100 * min(p.connectivity for p in found)
    assert high > 100
    assert all(label == f"{place:g}" for label, place in ticks(axes.xaxis).items())
    assert {"50", "100"} <= set(ticks(axes.xaxis))
    told = "mean of up to 2 seeds, bars: one standard deviation"
    assert titles(axes) == ("Accuracy against connectivity", told)
    assert axes.get_ylabel() == "accuracy on the test images, %"


def test_a_point_of_one_seed_says_so_and_a_dead_one_does_not_set_the_range() -> None:
    runs = [record("a", prior=1.0), record("dead", connectivity=0.0, prior=2.0)]
    (axes,) = draw.tradeoff(runs).axes
    assert titles(axes)[1] == "one seed"
    assert axes.get_xlim()[0] == pytest.approx(0.7 * 20)
    assert [len(bar.lines[0].get_xdata()) for bar in axes.containers] == [2]


def test_curves_are_told_apart_by_colour_mark_and_dash() -> None:
    runs = [record(f"r{n}", net=f"fc{n:02}") for n in range(16)]
    (one,) = draw.tradeoff(runs).axes
    top, bottom = draw.epochs(runs).axes
    for lines in ([bar.lines[0] for bar in one.containers], top.lines, bottom.lines):
        looks = [(to_hex(line.get_color()), line.get_marker(), line.get_linestyle())
                 for line in lines]  # fmt: skip
        assert len(looks) == len(set(looks)) == 16
        assert all(len(set(four)) == 4 for four in zip(*looks[:4], strict=True))
        assert looks[0] == (style.COLORS[0].lower(), "o", "-")
    run = record("a")
    run.record.history["silent"] = {f"layer{n}": [0.5, 0.5] for n in range(4)}
    looks = [(line.get_color(), line.get_marker(), line.get_linestyle())
             for line in draw.layers(run).axes[2].lines]  # fmt: skip
    assert all(len(set(four)) == 4 for four in zip(*looks, strict=True))


def test_epochs_are_means_with_a_band_over_seeds(sweep_folder: Path) -> None:
    runs = gather([sweep_folder])
    figure = draw.epochs(runs)
    top, bottom = figure.axes
    for axes, column in ((top, "test_accuracy"), (bottom, "connectivity")):
        assert len(axes.collections) == 3
        every = zip(axes.lines, axes.collections, groups(runs), strict=True)
        for line, band, group in every:
            at, mean, spread = group.mean(column)
            assert line.get_label() == group.label
            assert list(line.get_xdata()) == at
            np.testing.assert_allclose(line.get_ydata(), 100 * np.array(mean))
            heights = band.get_paths()[0].vertices[:, 1]
            lowest = 100 * min(m - s for m, s in zip(mean, spread, strict=True))
            highest = 100 * max(m + s for m, s in zip(mean, spread, strict=True))
            assert (heights.min(), heights.max()) == pytest.approx((lowest, highest))
    assert titles(top) == ("Test accuracy over epochs", "bands: one standard deviation over seeds")
    assert titles(bottom)[0] == "Connectivity over epochs"
    assert (top.get_yscale(), bottom.get_yscale()) == ("linear", "log")
    assert all(label == f"{place:g}" for label, place in ticks(bottom.yaxis).items())
    assert {"20", "50", "100"} <= set(ticks(bottom.yaxis))
    assert all(place == int(place) for place in ticks(bottom.xaxis).values())
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.texts] == [group.label for group in groups(runs)]


def test_what_is_alone_has_no_legend_and_what_is_too_much_is_counted() -> None:
    alone = draw.epochs([record("a", epochs=25)])
    assert not alone.legends
    top = alone.axes[0]
    assert not top.collections
    assert titles(top)[1] == ""
    assert top.lines[0].get_marker() == "None"  # 25 marks would be one broad line
    assert draw.epochs([record("a", epochs=24)]).axes[0].lines[0].get_marker() == "o"
    for share in (0.1, 0.2):  # a flat line has a tick, whatever it is at
        _, bottom = draw.epochs([record("a", connectivity=share)]).axes
        assert f"{100 * share:g}" in ticks(bottom.yaxis)
    runs = [record(f"r{n}", net=f"fc{n}") for n in range(18)]
    many = draw.epochs(runs)
    assert len(many.axes[0].lines) == 16
    assert titles(many.axes[0])[1] == "2 further settings left out"
    assert titles(draw.epochs(runs[:16]).axes[0])[1] == ""


@pytest.fixture
def one(sweep_folder: Path) -> Run:
    return gather([next(sweep_folder.glob("grad-r-*prior0.05-seed0-*"))])[0]


def test_layers_are_in_percent_and_changes_are_counts(one: Run) -> None:
    figure = draw.layers(one)
    first, *others = figure.axes
    assert all(first.get_shared_x_axes().joined(first, axes) for axes in others)
    names = ("layer_connectivity", "firing_rate", "silent")
    for axes, name in zip(figure.axes, names, strict=True):
        columns = one.layers(name)
        assert [line.get_label() for line in axes.lines] == list(columns)
        for line, column in zip(axes.lines, columns.values(), strict=True):
            assert list(line.get_xdata()) == one.epochs == [1, 2]
            np.testing.assert_allclose(line.get_ydata(), 100 * np.array(column))
        assert [text.get_text() for text in axes.get_legend().texts] == list(columns)
        assert axes.get_ylabel().endswith("%")
        assert (axes.get_ylim()[0] < 0) == (name != "layer_connectivity")
    assert titles(figure.axes[0]) == ("Connectivity by layer", one.name)
    assert all(titles(axes)[1] == "" for axes in figure.axes[1:])
    assert all(place == int(place) for place in ticks(figure.axes[-1].xaxis).values())

    figure = draw.changes(one)
    for axes, name in zip(figure.axes, ("pruned", "regrown"), strict=True):
        for line, column in zip(axes.lines, one.layers(name).values(), strict=True):
            assert list(line.get_ydata()) == list(column)
        assert axes.get_yscale() == "symlog"
        assert axes.get_ylim()[0] < 0  # a curve along 0 is seen
        assert ticks(axes.yaxis).get("0") == 0
        assert titles(axes)[0] == f"{name.capitalize()} since the epoch before"
    assert figure.axes[-1].get_xlabel() == "epoch"
    assert all(place == int(place) for place in ticks(figure.axes[-1].xaxis).values())
    assert draw.changes(record("none kept")).axes[1].get_legend() is None


def test_histograms_have_the_counts_and_a_line_where_connections_end() -> None:
    edges = np.array([-1.0, 0.0, 2.0, 3.0])
    counts = np.array([1200, 0, 7])
    kept = Histogram("1_linear", 1207, 5000, (counts, edges), (counts + 1, edges - 0.5))
    bare = Histogram("3_linear", 1, 2, (np.array([1]), np.array([0.0, 1.0])), None)
    figure = draw.histograms(record("r"), [kept, bare])
    (weight, theta), (_, none) = np.array(figure.axes).reshape(2, 2)
    for axes, expected in ((weight, kept.weight), (theta, kept.theta)):
        drawn = axes.patches[0].get_data()
        np.testing.assert_array_equal(drawn.values, expected[0])
        np.testing.assert_array_equal(drawn.edges, expected[1])
        assert axes.get_ylim()[0] == 0
        assert {"0", "1,000"} <= set(ticks(axes.yaxis))
    assert not weight.lines
    assert list(theta.lines[0].get_xdata()) == [0, 0]
    assert weight.get_title(loc="left") == "1_linear: 1,207 of 5,000 survive"
    assert none.texts[0].get_text() == "the method keeps no theta"
    assert none.texts[0].get_transform() == none.transAxes
    assert not none.axison
    assert figure.get_suptitle() == "Weights of r"
    both = draw.histograms(record("r"), [bare, kept]).axes
    assert both[-1].get_xlabel() == "theta of all (below 0: pruned)"
    # more layers than a page holds
    many = draw.histograms(record("r"), [kept] * 9).axes
    assert len(many) == 16
    assert [axes.get_xlabel() for axes in many] == [
        *[""] * 14, "w of survivors", "theta of all (below 0: pruned)",
    ]  # fmt: skip


def test_fields_have_zero_in_the_middle_and_grey_for_what_is_pruned() -> None:
    images = np.array([[[0.5, np.nan], [-2.0, 0.0]], [[0.1, 0.2], [np.nan, np.nan]]])
    made = Fields("1_conv2d", images, np.array([7, 3]), np.array([3, 2]), of=4, total=9)
    figure = draw.fields(record("r"), made)
    first, second = (axes for axes in figure.axes if axes.images)
    for axes, image in ((first, images[0]), (second, images[1])):
        (shown,) = axes.images
        np.testing.assert_array_equal(shown.get_array().filled(np.nan), image)
        assert shown.get_clim() == (-2.0, 2.0)
        assert to_hex(shown.cmap.get_bad()) == "#dcdcdc"
        red, _, blue, _ = shown.cmap(shown.norm(1.0))
        assert red > blue
    assert [axes.get_title() for axes in (first, second)] == ["7:  3", "3:  2"]
    told = figure.get_suptitle().split("\n")
    assert told == ["1_conv2d of r", "the 2 of 9 with most connections; above each its number and "
                    "how many of 4 survive"]  # fmt: skip
    assert not any(axes.axison for axes in figure.axes[:8])


def test_a_raster_has_a_mark_for_every_spike_at_its_step_and_neuron() -> None:
    few, many = np.zeros((3, 4), bool), np.zeros((3, 50), bool)
    few[0, 1] = few[2, 3] = many[1, 49] = True
    image = np.arange(4).reshape(2, 2)
    made = Raster(12, image, 4, 9, (
        Layer("2_lif", many, np.arange(50) * 2, 100, 0.25),
        Layer("4_lif", few, np.arange(4), 4, 0.5),
    ))  # fmt: skip
    figure = draw.raster(record("r"), made)
    left, first, last = figure.axes
    np.testing.assert_array_equal(left.images[0].get_array(), image)
    assert left.get_title(loc="left") == "test image 12:\nclass 4, answer 9"
    assert first.collections[0].get_offsets().tolist() == [[2, 98]]
    assert last.collections[0].get_offsets().tolist() == [[1, 1], [3, 3]]
    for axes, total in ((first, 100), (last, 4)):
        assert axes.get_ylim() == (total - 0.5, -0.5)  # the first neuron is on top
        low, high = axes.get_xlim()
        assert low < 1
        assert high > 3
        (marks,) = axes.collections
        tall = marks.get_paths()[0].vertices
        assert np.ptp(tall[:, 0]) == 0 < np.ptp(tall[:, 1])
        assert all(place == int(place) for place in ticks(axes.xaxis).values())
    assert first.get_title(loc="left") == "2_lif: 100 neurons, 50 shown, 25.0 % firing"
    assert last.get_title(loc="left") == "4_lif: 4 neurons, 50.0 % firing"
    assert (first.get_xlabel(), last.get_xlabel()) == ("", "time step")
    assert first.get_shared_x_axes().joined(first, last)
    # a layer of few neurons has the longer marks
    assert last.collections[0].get_sizes()[0] > first.collections[0].get_sizes()[0]


def test_a_confusion_is_shares_by_class_and_counts() -> None:
    counts = np.array([[1999, 1], [30, 70]])
    figure = confusion(record("r"), counts)
    axes, bar = figure.axes
    shade = axes.images[0]
    np.testing.assert_allclose(shade.get_array() ** 2, [[99.95, 0.05], [30, 70]])
    assert shade.get_clim() == (0, 10)
    told = {text.get_position()[::-1]: text.get_text() for text in axes.texts}
    assert told == {(0, 0): "1,999", (0, 1): "1", (1, 0): "30", (1, 1): "70"}
    white = {text.get_text() for text in axes.texts if to_hex(text.get_color()) == "#ffffff"}
    assert white == {"1,999", "70"}  # on what is dark
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("answer", "class")
    assert list(axes.get_xticks()) == list(axes.get_yticks()) == [0, 1]
    assert figure.get_suptitle() == "Answers of r: 98.52 % right"
    for label, place in zip(bar.get_yticklabels(), bar.get_yticks(), strict=True):
        assert float(label.get_text()) == pytest.approx(place**2)
    assert len(confusion(record("r"), np.eye(20, dtype=np.int64)).axes[0].texts) == 20
    assert not confusion(record("r"), np.eye(21, dtype=np.int64)).axes[0].texts
    nobody = confusion(record("r"), np.zeros((2, 2), np.int64))
    assert nobody.get_suptitle() == "Answers of r: 0.00 % right"


def test_names_are_no_formulas_and_the_same_figure_is_the_same_bytes() -> None:
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        style.style()
        assert matplotlib.rcParams["text.parse_math"] is False
        assert matplotlib.rcParams["svg.hashsalt"] == "snnr"
        axes = draw.layers(record("$\\frac{$")).axes[0]
        axes.figure.draw_without_rendering()
        assert titles(axes)[1] == "$\\frac{$"


def test_what_cannot_be_drawn_is_a_sentence_in_its_place(sweep_folder: Path) -> None:
    (run,) = gather([next(sweep_folder.glob("dense-*"))])
    found = list(draw.drawn([run], ["epochs", "raster", "layers"], [run], image=80))
    assert [(name, of) for name, of, _ in found] == [
        ("epochs", None), ("raster", run), ("layers", run),
    ]  # fmt: skip
    assert isinstance(found[1][2], str)
    assert "and none 80" in found[1][2]
    assert found[2][2].axes
    assert snnr.load(run.path).epoch == 2
