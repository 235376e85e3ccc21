"""The report's page: its tables and charts say what the checkpoints say."""

import re
import statistics
from html import unescape
from pathlib import Path

import numpy as np
import pytest

import snnr
from snnr.figures import gather, groups, pareto, points
from snnr.figures.runs import Run
from snnr.figures.spikes import Layer, Raster, raster
from snnr.figures.weights import fields, histograms
from snnr.report import report


def rows(page: str, head: str) -> list[list[str]]:
    """Cells of the table whose first title is `head`."""
    for found in re.findall(r"<table>.*?</table>", page, re.DOTALL):
        titles, *lines = re.findall(r"<tr>(.*?)</tr>", found)
        if f"<th>{head}</th>" in titles:
            return [[unescape(c) for c in re.findall(r"<td>(.*?)</td>", line)] for line in lines]
    raise LookupError(head)


def figure(page: str, name: str) -> str:
    """The chart of that name."""
    start = page.index(f'aria-label="{name}"')
    return page[start : page.index("</figure>", start)]


def told(part: str) -> list[str]:
    return [unescape(text) for text in re.findall(r'data-t="(.*?)"', part, re.DOTALL)]


def percent(share: float) -> str:
    return f"{100 * share:.2f} %"


@pytest.fixture(scope="module")
def runs(sweep_folder: Path) -> list[Run]:
    return gather([sweep_folder])


@pytest.fixture
def page(runs: list[Run]) -> str:
    (one,) = (run for run in runs if "-prior0.05-seed0-" in run.name)
    return report(runs, [one], "All")


def test_settings_are_means_and_deviations_over_seeds(page: str, runs: list[Run]) -> None:
    expected = [
        [p.label, "2", percent(p.accuracy), percent(p.accuracy_spread), percent(p.connectivity),
         percent(p.connectivity_spread)]
        for p in points(runs)
    ]  # fmt: skip
    assert rows(page, "setting")[:3] == expected
    assert "Means over seeds; bars: one standard deviation." in page
    part = figure(page, "accuracy against connectivity")
    assert told(part) == [
        f"{p.curve}\n{p.label}\n{percent(p.accuracy)} at {percent(p.connectivity)}, 2 seeds"
        for p in points(runs)
    ]
    assert part.count("#c8c8c8") == 2  # the front and its key
    front = part.split('stroke="#c8c8c8"')[0].split("<path")[-1]
    assert front.count("H") == front.count("V") == len(pareto(points(runs))) - 1


def test_one_seed_has_no_deviation_and_one_setting_no_curve(runs: list[Run]) -> None:
    first = [run for run in runs if "-seed0-" in run.name]
    page = report(first, [], "One")
    assert [row[1::2] for row in rows(page, "setting")] == [["1", "-", "-"]] * 3
    assert "one standard deviation" not in page
    assert "3 runs; written " in page
    alone = report(first[:1], [], "One")
    assert "accuracy against connectivity" not in alone
    assert len(rows(alone, "setting")) == 1
    assert "1 run; written " in alone


def test_every_run_has_its_last_and_its_best_epoch_and_its_time(
    page: str, runs: list[Run]
) -> None:
    for run, row in zip(runs, rows(page, "run"), strict=True):
        history = run.record.history
        accuracy, seconds = history["test_accuracy"], history["seconds"]
        assert row == [
            run.name, "2", percent(accuracy[-1]), percent(max(accuracy)),
            f"{history['test_loss'][-1]:.5f}", percent(history["connectivity"][-1]),
            f"{sum(seconds):.1f}", f"{statistics.fmean(seconds):.2f}",
        ]  # fmt: skip


def test_curves_over_epochs_are_the_histories(page: str, runs: list[Run]) -> None:
    for column, name in (
        ("test_accuracy", "test accuracy, % over epochs"),
        ("connectivity", "connectivity, % (log scale) over epochs"),
    ):
        expected = []
        for group in groups(runs):
            at, mean, _ = group.mean(column)
            words = [f"epoch {x}: {percent(y)}" for x, y in zip(at, mean, strict=True)]
            expected += [f"{group.label}\n{one}" for one in words]
        assert told(figure(page, name)) == expected
    (one,) = (run for run in runs if "-prior0.05-seed0-" in run.name)
    for column, name, scale, unit in (
        ("pruned", "pruned connections", 1, ""),
        ("layer_connectivity", "connectivity by layer", 100, " %"),
        ("firing_rate", "firing rate by layer", 100, " %"),
    ):
        assert told(figure(page, name)) == [
            f"{layer}\nepoch {x}: {scale * value:,.4g}{unit}"
            for layer, values in one.layers(column).items()
            for x, value in zip(one.epochs, values, strict=True)
        ]
    config = dict(rows(page[page.index("<h3>Settings") :], "setting"))
    assert config.keys() == one.record.config.keys()
    assert config["lr"] == "0.01"
    assert config["method"] == '"grad-r"'


def test_weights_and_fields_are_those_of_the_network(page: str, runs: list[Run]) -> None:
    (one,) = (run for run in runs if "-prior0.05-seed0-" in run.name)
    found = snnr.load(one.path)
    weights = page[page.index("<h3>Weights") :]
    for made in histograms(found):
        assert f"{made.name}: {made.nonzero:,} of {made.size:,} connections survive" in weights
    bars = [text for text in told(weights) if " from " in text]
    counts = [int(text.split(" from")[0].replace(",", "")) for text in bars]
    expected = [
        int(n) for made in histograms(found) for counted in (made.weight, made.theta)
        if counted is not None for n in counted[0] if n
    ]  # fmt: skip
    assert counts == expected
    seen = fields(found)
    assert seen is not None
    colors = {"w of survivors": "#0072B2", "theta of all (below 0: pruned)": "#D55E00"}
    for name, color in colors.items():
        assert set(re.findall(r'<rect [^>]*fill="(.*?)"', figure(weights, name))) == {color}
    # 8 images of 8 by 8, ten times as large
    assert f'alt="receptive fields" width="{10 * (8 * 9 + 1)}"' in weights
    assert (
        f"The {len(seen.images)} of 8 neurons with most connections ({seen.connections[0]} to "
        f"{seen.connections[-1]} of 64)"
    ) in weights


def test_a_spike_is_a_cell_at_its_step_and_neuron(page: str, runs: list[Run]) -> None:
    (one,) = (run for run in runs if "-prior0.05-seed0-" in run.name)
    made = raster(snnr.load(one.path), 0)
    assert "Spikes that test image 0 sets off" in page
    assert f"class {made.label}, answer {made.answer}" in page
    for layer in made.layers:
        part = figure(page, f"spikes of {layer.name}")
        cells = re.findall(r"M([\d.]+) ([\d.]+)h([\d.]+)v([\d.]+)h-[\d.]+z", part)
        steps, neurons = np.nonzero(layer.spikes)
        wide, high = 220 / len(layer.spikes), 170 / len(layer.chosen)
        at = [(round((float(x) - 50) / wide), round((float(y) - 12) / high)) for x, y, *_ in cells]
        assert at == list(zip(steps, neurons, strict=True))
        for _, _, width, height in cells:
            assert 0.5 * wide < float(width) < wide
            assert 0.5 * high < float(height) < high
        numbers = re.findall(r'<text class="x" x="([\d.]+)" y="198">(\d+)<', part)
        named = [(round((float(x) - 50) / wide - 0.4), n) for x, n in numbers]
        assert named == [(0, "1"), (1, "2")]
        assert f">{layer.total - 1}</text>" in part
        assert f"{layer.name}: {layer.total} neurons, {100 * layer.rate:.1f} % firing" in part


def test_of_many_time_steps_some_have_their_number(
    runs: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = Layer("2_lif", np.ones((24, 3), bool), np.arange(3), 5, 1.0)
    made = Raster(0, np.zeros((2, 2)), 1, 1, (layer,))
    monkeypatch.setattr("snnr.report.page.raster", lambda *given: made)
    part = figure(report(runs[:1], runs[:1], "Long"), "spikes of 2_lif")
    numbers = re.findall(r'<text class="x" x="[\d.]+" y="198">(\d+)<', part)
    assert list(map(int, numbers)) == list(range(1, 25, 3))
    assert "2_lif: 5 neurons, 3 shown, 100.0 % firing" in part
