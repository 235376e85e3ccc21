"""What figures show: settings, means over seeds, the Pareto front, weights, spikes."""

import statistics
from pathlib import Path

import numpy as np
import pytest

import snnr
from snnr.checkpoint import load
from snnr.errors import CheckpointError
from snnr.figures import Point, gather, groups, pareto, points
from snnr.figures.spikes import raster
from snnr.figures.weights import fields, histograms


def test_a_sweep_is_grouped_by_setting_with_means_over_seeds(sweep_folder: Path) -> None:
    runs = gather([sweep_folder])
    assert len(runs) == 6
    assert [group.label for group in groups(runs)] == [
        "dense", "grad-r, prior 0.05", "grad-r, prior 0.5",
    ]  # fmt: skip
    found = points(runs)
    assert [point.curve for point in found] == ["dense", "grad-r", "grad-r"]
    assert [point.seeds for point in found] == [2, 2, 2]
    mine = [run for run in runs if "-prior0.05-" in run.name]
    accuracy = [run.record.accuracy for run in mine]
    assert found[1].accuracy == statistics.fmean(accuracy)
    assert found[1].accuracy_spread == statistics.stdev(accuracy)
    assert found[0].connectivity == 1
    assert found[1].connectivity == statistics.fmean(run.record.connectivity for run in mine)
    at, mean, spread = groups(runs)[1].mean("connectivity")
    columns = [run.column("connectivity") for run in mine]
    assert at == [1, 2]
    assert mean == [statistics.fmean(pair) for pair in zip(*columns, strict=True)]
    assert spread == [statistics.stdev(pair) for pair in zip(*columns, strict=True)]


def test_a_run_named_twice_is_one_and_what_is_none_is_told(
    sweep_folder: Path, tmp_path: Path
) -> None:
    run = next(sweep_folder.glob("dense-*"))
    (one,) = gather([run, run / "checkpoint.h5"])
    assert one.name == run.name
    assert [one.name for one in gather([run / "best.h5", run])] == [f"{run.name}, best", run.name]
    with pytest.raises(CheckpointError, match=r"holds neither a run \(checkpoint.h5\) nor folders"):
        gather([tmp_path])
    with pytest.raises(CheckpointError):
        gather([tmp_path / "nothing.h5"])
    net = snnr.nn.Sequential(snnr.nn.Linear(4, 2))
    snnr.save(tmp_path / "bare.h5", net)
    with pytest.raises(CheckpointError, match="holds no epoch of a training yet"):
        gather([tmp_path / "bare.h5"])


def test_the_pareto_front_is_beaten_by_nobody() -> None:
    rng = np.random.default_rng(3)
    found = [Point("x", "m", 1, *map(float, (a, 0, c, 0))) for a, c in rng.random((60, 2))]
    front = pareto(found)
    for point in found:
        better = [p for p in found if p.accuracy >= point.accuracy
                  and p.connectivity <= point.connectivity and p is not point]  # fmt: skip
        assert (point in front) == (not better)
    assert [p.connectivity for p in front] == sorted(p.connectivity for p in front)


def test_histograms_count_every_connection(sweep_folder: Path) -> None:
    for method in ("grad-r", "dense"):
        found = load(next(sweep_folder.glob(f"{method}-*")))
        first, second = histograms(found)
        weight = found.network[1].weight.numpy()
        assert (first.name, second.name) == ("1_linear", "3_linear")
        assert first.weight[0].sum() == np.count_nonzero(weight) == first.nonzero
        assert (first.theta is None) == (method == "dense")
        if first.theta is not None:
            assert first.theta[0].sum() == weight.size == first.size


def test_fields_are_those_with_most_connections_and_say_what_is_pruned(
    sweep_folder: Path,
) -> None:
    found = load(next(sweep_folder.glob("grad-r-*prior0.5*")))
    weight = found.network[1].weight
    values = weight.numpy().copy()
    values[3] = 0
    values[5, 10:] = 0
    weight.assign(values)
    made = fields(found, most=6)
    assert made is not None
    assert made.name == "1_linear"
    assert made.images.shape == (6, 8, 8)
    assert list(made.connections) == sorted((values != 0).sum(axis=1), reverse=True)[:6]
    for image, neuron in zip(made.images, made.outputs, strict=True):
        np.testing.assert_array_equal(np.nan_to_num(image).ravel(), values[neuron])
        np.testing.assert_array_equal(np.isnan(image).ravel(), values[neuron] == 0)
    weight.assign(np.zeros_like(values))
    assert fields(found) is None


def test_fields_of_a_convolution_are_means_over_the_channels_that_are_left(tmp_path: Path) -> None:
    conv = snnr.nn.Conv2d(3, 2, 2)
    kernel = np.arange(1.0, 25.0, dtype=np.float32).reshape(2, 3, 2, 2)
    kernel[0, :, 0, 0] = 0
    kernel[0, 1:, 0, 1] = 0
    kernel[1, 0] = 0
    conv.weight.assign(kernel)
    snnr.save(tmp_path / "c.h5", snnr.nn.Sequential(conv))
    made = fields(load(tmp_path / "c.h5"))
    assert made is not None
    assert (made.name, made.of, made.total) == ("0_conv2d", 12, 2)
    assert dict(zip(made.outputs, made.connections, strict=True)) == {0: 7, 1: 8}
    assert list(made.outputs) == [1, 0]
    np.testing.assert_array_equal(made.images[1], [[np.nan, 2.0], [7.0, 8.0]])
    np.testing.assert_array_equal(made.images[0], kernel[1, 1:].mean(axis=0))


def test_a_raster_has_the_spikes_of_the_network(sweep_folder: Path) -> None:
    found = load(next(sweep_folder.glob("grad-r-*prior0.05*")))
    made = raster(found, 7, most=5)
    images = snnr.data.load(found.config["dataset"])
    assert made.label == images.y_test[7]
    np.testing.assert_array_equal(made.image, images.x_test[7, 0])
    first, last = made.layers
    assert (first.name, first.total, first.spikes.shape) == ("2_lif", 8, (2, 5))
    assert list(first.chosen) == [0, 1, 3, 5, 7]
    assert (last.total, last.spikes.shape) == (4, (2, 4))
    assert last.spikes.sum(axis=0).argmax() == made.answer
    with pytest.raises(snnr.SnnrError, match="test images 0 to 79, and none 80"):
        raster(found, 80)
