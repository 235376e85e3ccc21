"""Sequences of spikes: binning lists of events, batches of them, and training on them."""

from typing import Any

import numpy as np
import pytest

import snnr
from snnr import nn, optim
from snnr.errors import ConfigError, ShapeError
from snnr.input import Events, Samples, binned

DEVICES = ("cpu", "reference")


def test_events_fall_into_windows_of_equal_length() -> None:
    # (t, polarity, y, x); four windows of 10 from t=100 on
    camera = [(100, 0, 0, 0), (109, 1, 2, 3), (110, 0, 1, 1), (125, 1, 0, 2), (140, 0, 2, 0)]
    out = binned([camera], T=4, shape=(2, 3, 4))
    assert (out.shape, out.dtype) == ((1, 4, 2, 3, 4), np.uint8)
    expected = {(0, 0, 0, 0), (0, 1, 2, 3), (1, 0, 1, 1), (2, 1, 0, 2), (3, 0, 2, 0)}
    assert set(zip(*(axis.tolist() for axis in np.nonzero(out[0])), strict=True)) == expected


def test_order_and_repetition_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    events = np.stack([rng.integers(0, 1000, 50), rng.integers(0, 7, 50)], axis=1)
    shuffled = np.concatenate([events, events])[rng.permutation(100)]
    np.testing.assert_array_equal(binned([events], 5, (7,)), binned([shuffled], 5, (7,)))
    assert binned([events], 5, (7,)).max() == 1


def test_large_times_keep_their_digits() -> None:
    """Microseconds since 1970, of which a float32, and sums of floats, would lose the last."""
    start = 1_700_000_000_000_000
    events = np.array([[start, 0], [start + 1, 1], [start + 2, 2], [start + 3, 3]])
    out = binned([events], 4, (4,), duration=4)
    np.testing.assert_array_equal(out[0], np.eye(4))


def test_a_duration_leaves_later_events_out() -> None:
    events = [(0.0, 0), (0.5, 1), (1.0, 2), (1e300, 3)]
    out = binned([events], 2, (4,), duration=1.0)
    np.testing.assert_array_equal(out[0].sum(axis=0), [1, 1, 0, 0])
    # the first event is the start, whenever it is
    later = [(t + 7.0, place) for t, place in events]
    np.testing.assert_array_equal(binned([later], 2, (4,), duration=1.0), out)


def test_recordings_without_duration_or_events() -> None:
    out = binned([np.zeros((0, 2)), [(5, 1)], [(5, 0), (5, 2)]], 3, (3,))
    assert out[0].sum() == 0
    np.testing.assert_array_equal(np.argwhere(out[1]), [[0, 1]])
    np.testing.assert_array_equal(np.argwhere(out[2]), [[0, 0], [0, 2]])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"T": 0}, ConfigError, r"T \(=0\)"),
        ({"T": 2.0}, ConfigError, r"T \(=2.0\)"),
        ({"shape": ()}, ConfigError, "shape"),
        ({"shape": (0,)}, ConfigError, "shape"),
        ({"duration": 0}, ConfigError, r"duration \(=0\)"),
        ({"duration": np.nan}, ConfigError, "duration"),
        ({"recordings": [[(0, 1, 2)]]}, ShapeError, r"recording 0 is int64 \[1, 3\], expected"),
        ({"recordings": [[("a", "b")]]}, ShapeError, "recording 0"),
        ({"recordings": [[(0, 1)], [(0, 4)]]}, ShapeError, "recording 1 has an event outside"),
        ({"recordings": [[(0, -1)]]}, ShapeError, "outside"),
        ({"recordings": [[(0, 0.5)]]}, ShapeError, "whole numbers"),
        ({"recordings": [[(np.inf, 0)]]}, ShapeError, "not finite"),
    ],
)
def test_what_cannot_be_binned_is_refused(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        binned(**{"recordings": [[(0, 1)]], "T": 2, "shape": (4,), **arguments})


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(9,), (2, 5, 6)])
def test_a_batch_has_time_in_front(shape: tuple[int, ...], device: str) -> None:
    spikes = np.random.default_rng(0).integers(0, 2, (8, 3, *shape), np.uint8)
    source = Events(spikes, device)
    assert (source.count, source.timesteps, source.sample_shape) == (8, 3, shape)
    batch = source.batch([5, 0, 5], np.random.default_rng(0))
    assert (batch.timesteps, batch.dtype, batch.device) == (3, np.uint8, device)
    np.testing.assert_array_equal(batch.numpy(), spikes[[5, 0, 5]].swapaxes(0, 1))
    assert batch.memory.shape == (3, 3, *shape[1:], shape[0])
    assert source.batch([]).shape == (3, 0, *shape)
    with pytest.raises(ShapeError, match=r"8 to 8, expected 0\.\.7"):
        source.batch([8])


def test_a_batch_may_be_written_over_an_earlier_one() -> None:
    spikes = (np.random.default_rng(0).random((6, 3, 2, 4, 5)) < 0.5).astype(np.uint8)
    events = Events(spikes)
    out = events.batch([0, 1])
    assert events.refill(out, [4, 2]) is out
    np.testing.assert_array_equal(out.numpy(), spikes[[4, 2]].swapaxes(0, 1))
    assert events.refill(out, [5]).shape == (3, 1, 2, 4, 5)
    np.testing.assert_array_equal(out.numpy(), spikes[[4, 2]].swapaxes(0, 1))


def test_truth_values_are_spikes() -> None:
    spikes = np.eye(4).reshape(1, 4, 4) > 0
    np.testing.assert_array_equal(Events(spikes).batch([0]).numpy()[:, 0], np.eye(4))


@pytest.mark.parametrize(
    ("spikes", "message"),
    [
        (np.zeros((2, 3, 4)), "spikes is float64"),
        (np.zeros((2, 3), np.uint8), r"expected uint8 or bool"),
        (np.zeros((2, 3, 4, 4), np.uint8), r"\[M, T, C, H, W\]"),
        (np.zeros((2, 0, 4), np.uint8), "expected uint8"),
        (np.full((2, 3, 4), 2, np.uint8), "spikes has a 2, expected 0 or 1"),
    ],
)
def test_what_is_no_sequence_of_spikes_is_refused(spikes: np.ndarray, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        Events(spikes)


def bars(count: int, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Lists of events (t, polarity, y, x) of a bar that flickers in the upper or lower half."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    recordings = []
    for label in labels:
        y = rng.integers(0, 4, 60) + 2 * label
        x = rng.integers(0, 6, 60)
        recordings.append(np.stack([rng.uniform(0, 1, 60), np.zeros(60), y, x], axis=1))
    return recordings, labels


@pytest.mark.parametrize("shape", ["conv", "flat"])
def test_a_network_learns_from_events(shape: str) -> None:
    parts = [bars(count, seed) for count, seed in ((256, 0), (64, 1))]
    x_train, x_test = (binned(lists, 6, (1, 6, 6), duration=1.0) for lists, _ in parts)
    first: list[nn.Layer]
    if shape == "flat":
        x_train, x_test = (x.reshape(len(x), 6, 36) for x in (x_train, x_test))
        first = [nn.Linear(36, 48, rng=0)]
    else:
        first = [
            nn.Conv2d(1, 8, 3, padding=1, rng=0),
            nn.LIF(),
            nn.Flatten(),
            nn.Linear(288, 48, rng=1),
        ]
    data = Samples.of_events("bars", x_train, parts[0][1], x_test, parts[1][1])
    network = nn.Sequential(*first, nn.LIF(), nn.Linear(48, 2, rng=2), nn.LIF())
    optimizer = optim.GradR(network.parameters(), lr=5e-3, prior=1e-2)
    run = snnr.Trainer(network, optimizer, data, batch_size=32, epochs=8)
    history = run.fit()
    assert history["test_accuracy"][-1] > 0.9
    assert history["connectivity"][-1] < 1
    assert run.config["data"] == {
        "name": "bars", "images": 256, "classes": 2, "timesteps": 6,
        "image_shape": [36] if shape == "flat" else [1, 6, 6],
    }  # fmt: skip


def test_a_training_on_events_is_resumed(tmp_path: Any) -> None:
    lists, labels = bars(64, 0)
    x = binned(lists, 4, (1, 6, 6))
    data = Samples.of_events("bars", x, labels, x[:9], labels[:9])

    def fit(epochs: int) -> snnr.Trainer:
        net = nn.Sequential(nn.Flatten(), nn.Linear(36, 2, rng=0), nn.LIF())
        run = snnr.Trainer(
            net, optim.Adam(net.parameters()), data, 16, epochs, checkpoint=tmp_path / "c.h5"
        )
        run.fit()
        return run

    whole = fit(3)
    fit(2)
    parts = snnr.Trainer.resume(tmp_path / "c.h5", data, epochs=3)
    parts.fit()
    for p, q in zip(whole.network.parameters(), parts.network.parameters(), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())
    other = Samples.of_events("bars", x[:, :3], labels, x[:9, :3], labels[:9])
    with pytest.raises(ConfigError, match="resume with the data set it was started with"):
        snnr.Trainer.resume(tmp_path / "c.h5", other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_train": np.zeros(3, int)}, r"y_train is int64 \[3\], expected whole numbers \[4\]"),
        ({"y_test": np.zeros(2)}, "y_test is float64"),
        ({"y_test": np.array([0, 2]), "classes": 2}, r"y_test runs from 0 to 2, expected 0\.\.1"),
        (
            {"y_train": np.array([1, 2, 2, 1]), "y_test": np.array([1, 2])},
            r"run from 1 to 2 and none is 0, expected 0\.\.1; subtract 1, or give classes \(=3\)",
        ),
        ({"x_test": np.zeros((2, 3, 6), np.uint8)}, r"are \[5\], test samples \[6\]"),
        ({"x_test": np.zeros((0, 3, 5), np.uint8), "y_test": np.zeros(0, int)}, "no samples"),
    ],
)
def test_samples_and_labels_must_fit(changes: dict[str, Any], message: str) -> None:
    arrays = {
        "x_train": np.zeros((4, 3, 5), np.uint8), "y_train": np.zeros(4, int),
        "x_test": np.zeros((2, 3, 5), np.uint8), "y_test": np.zeros(2, int),
    }  # fmt: skip
    with pytest.raises(ConfigError, match=message):
        Samples.of_events("made up", **{**arrays, **changes})
