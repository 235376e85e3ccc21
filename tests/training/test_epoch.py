"""What one epoch shows the network and what it counts, with answers that are known beforehand."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from snnr.data import Dataset

import snnr
from snnr import nn, optim
from snnr.tensor import Tensor
from snnr.training import Callback, Trainer


class Spy(nn.Flatten):
    """Flatten that keeps what it was given, by mode."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[bool, list[np.ndarray]] = {True: [], False: []}

    def forward(self, x: Tensor) -> Tensor:
        self.seen[self.training].append(x.numpy().copy())
        return super().forward(x)


def images(pixels: np.ndarray) -> np.ndarray:
    """One bright pixel of four for each entry: uint8 ``[N, 1, 2, 2]``."""
    return (255 * np.eye(4, dtype=np.uint8))[pixels].reshape(-1, 1, 2, 2)


def dataset(
    x: np.ndarray,
    y: np.ndarray,
    x_test: np.ndarray | None = None,
    y_test: np.ndarray | None = None,
    augmentation: Any = None,
) -> Dataset:
    return Dataset(
        name="made up", x_train=x, y_train=y, x_test=x[:1] if x_test is None else x_test,
        y_test=y[:1] if y_test is None else y_test, mean=(0.0,) * x.shape[1],
        std=(1.0,) * x.shape[1], classes=4, augmentation=augmentation, source="a test",
    )  # fmt: skip


def oracle(data: Dataset, **settings: Any) -> tuple[Trainer, Spy]:
    """A trainer whose network answers with the bright pixel and learns next to nothing."""
    spy, layer = Spy(), nn.Linear(4, 4, bias=False)
    layer.weight.data[...] = 10 * np.eye(4)
    return trainer(data, spy, layer, **settings), spy


def trainer(data: Dataset, spy: Spy, layer: nn.Linear, **settings: Any) -> Trainer:
    net = nn.Sequential(spy, layer, nn.LIF(), T=1, device="reference")
    return Trainer(net, optim.Adam(net.parameters(), lr=1e-9), data, **settings)


# Which images are shown


def order(spy: Spy) -> list[list[int]]:
    """The images of each training batch, told by the brightness of their first pixel."""
    return [[round(v * 255) for v in batch[:, 0, 0, 0]] for batch in spy.seen[True]]


def numbered(count: int) -> Dataset:
    x = np.zeros((count, 1, 2, 2), np.uint8)
    x[:, 0, 0, 0] = np.arange(count)
    return dataset(x, np.arange(count) % 4)


def test_an_epoch_shows_every_image_once_in_another_order() -> None:
    run, spy = oracle(numbered(40), batch_size=10, epochs=2)
    run.fit()
    batches = order(spy)
    assert [len(batch) for batch in batches] == [10] * 8
    first, second = np.ravel(batches[:4]).tolist(), np.ravel(batches[4:]).tolist()
    assert sorted(first) == sorted(second) == list(range(40))
    assert first != sorted(first)
    assert second != sorted(second)
    assert first != second
    # far from where they were: a rotation or a shuffle within batches would not do
    assert max(abs(place - image) for place, image in enumerate(first)) > 20
    assert len({image // 10 for image in batches[0]}) > 1


def test_the_seed_decides_the_order() -> None:
    orders = []
    for seed in (0, 0, 1):
        run, spy = oracle(numbered(40), batch_size=10, epochs=1, seed=seed)
        run.fit()
        orders.append(order(spy))
    assert orders[0] == orders[1] != orders[2]


def test_images_of_a_last_short_batch_are_others_in_each_epoch() -> None:
    run, spy = oracle(numbered(23), batch_size=10, epochs=4)
    run.fit()
    batches = order(spy)
    assert [len(batch) for batch in batches] == [10] * 8
    left = [set(range(23)) - set(np.ravel(batches[i : i + 2]).tolist()) for i in range(0, 8, 2)]
    assert [len(images) for images in left] == [3] * 4
    assert len(set(map(frozenset, left))) > 1


def test_the_default_batch() -> None:
    run, spy = oracle(numbered(250), epochs=1)
    run.fit()
    assert (run.batch_size, run.batches) == (128, 1)
    assert [len(batch) for batch in spy.seen[True]] == [128]


# What is counted


@pytest.mark.parametrize(("count", "batch"), [(8, 4), (10, 4), (11, 4), (7, 7)])
def test_train_accuracy_is_the_share_of_the_images_that_were_shown(count: int, batch: int) -> None:
    pixels = np.arange(count) % 4
    run, _ = oracle(dataset(images(pixels), pixels), batch_size=batch, epochs=2)
    history = run.fit()
    assert history["train_accuracy"] == [1.0, 1.0]
    assert history["train_loss"] == pytest.approx([0, 0], abs=1e-6)


def test_train_accuracy_and_loss_of_wrong_answers() -> None:
    pixels = np.arange(8) % 4
    labels = pixels.copy()
    labels[[1, 4, 6]] = (labels[[1, 4, 6]] + 1) % 4
    run, _ = oracle(dataset(images(pixels), labels), batch_size=4, epochs=3)
    history = run.fit()
    assert history["train_accuracy"] == [5 / 8] * 3
    # a wrong answer is off by 1 in two classes of four
    assert history["train_loss"] == pytest.approx([3 / 8 * 0.5] * 3)


@pytest.mark.parametrize("loss", ["mse", "cross-entropy"])
def test_the_loss_that_was_asked_for(loss: str) -> None:
    pixels = np.array([0, 1, 2, 3])
    labels = np.array([0, 1, 2, 0])
    data = dataset(images(pixels), labels, images(pixels), np.array([0, 2, 1, 3]))
    run, _ = oracle(data, batch_size=4, epochs=1, loss=loss)
    history = run.fit()
    if loss == "mse":
        right, wrong = 0.0, 0.5
    else:
        right, wrong = math.log(math.e + 3) - 1, math.log(math.e + 3)
    assert history["train_loss"] == pytest.approx([(3 * right + wrong) / 4], rel=1e-5)
    assert history["test_loss"] == pytest.approx([(right + wrong) / 2], rel=1e-5)


@pytest.mark.parametrize("loss", ["mse", "cross-entropy"])
def test_every_test_image_weighs_the_same(loss: str) -> None:
    """A prime number of images, so that whatever the batch the last one is short; there only the
    answers are wrong."""
    count, bad = 1009, 7
    pixels = np.arange(count) % 4
    labels = pixels.copy()
    labels[-bad:] = (labels[-bad:] + 1) % 4
    data = dataset(images(pixels[:4]), labels[:4], images(pixels), labels)

    class Batches(Callback):
        done: tuple[int, ...] = ()

        def evaluation(self, done: int, total: int) -> None:
            assert total == count
            self.done += (done,)

    told = Batches()
    run, spy = oracle(data, batch_size=4, epochs=0, loss=loss, callbacks=[told])
    result = run.evaluate()
    assert len(told.done) > 1
    assert told.done[-1] == result.images == count
    assert sum(len(batch) for batch in spy.seen[False]) >= count
    right = 0.0 if loss == "mse" else math.log(math.e + 3) - 1
    wrong = 0.5 if loss == "mse" else math.log(math.e + 3)
    assert result.accuracy == (count - bad) / count
    assert result.loss == pytest.approx(((count - bad) * right + bad * wrong) / count, rel=1e-6)


# Modes


def modes(net: nn.Sequential) -> set[bool]:
    return {layer.training for layer in [net, *net]}


@pytest.mark.parametrize("mode", [True, False])
def test_evaluation_puts_the_mode_back(mode: bool) -> None:
    run, spy = oracle(numbered(8), batch_size=4, epochs=0)
    run.network.train(mode)
    run.evaluate()
    assert spy.seen[True] == []
    assert spy.seen[False]
    assert modes(run.network) == {mode}


def test_a_failing_evaluation_puts_the_mode_back() -> None:
    class Failing(Spy):
        def forward(self, x: Tensor) -> Tensor:
            if self.seen[False]:
                raise ZeroDivisionError("the second batch")
            return super().forward(x)

    spy = Failing()
    run = trainer(numbered(8), spy, nn.Linear(4, 4), batch_size=4, epochs=0)
    run.network.train()
    with pytest.raises(ZeroDivisionError):
        run.evaluate()
    assert modes(run.network) == {True}


def test_training_follows_an_evaluation_in_training_mode() -> None:
    run, spy = oracle(numbered(8), batch_size=4, epochs=3)
    run.network.eval()
    run.fit()
    assert len(spy.seen[True]) == 6
    assert modes(run.network) == {True}


# Random moves


def blobs() -> np.ndarray:
    """Two squares, darker and brighter, either side of the centre."""
    image = np.zeros((1, 128, 128), np.uint8)
    image[0, 39:48, 39:48] = 85
    image[0, 80:89, 80:89] = 255
    return image


def moves(batch: np.ndarray) -> dict[str, np.ndarray]:
    """Angle, scale and shift of each image, from where the two squares went."""
    rows, columns = np.mgrid[0:128, 0:128] - 63.5
    places = []
    for value in (1 / 3, 1.0):
        mask = np.isclose(batch[:, 0], value, atol=0.05)
        area = mask.sum(axis=(1, 2))
        assert area.min() > 40
        places.append([(mask * axis).sum(axis=(1, 2)) / area for axis in (rows, columns)])
    (y0, x0), (y1, x1) = places
    return {
        "angle": np.rad2deg(np.arctan2(y1 - y0, x1 - x0)) - 45,
        "scale": np.hypot(y1 - y0, x1 - x0) / (41 * math.sqrt(2)),
        "down": (y0 + y1) / 2,
        "right": (x0 + x1) / 2,
    }


def shown(kind: Any, data: Dataset, pixels: int) -> Spy:
    spy = Spy()
    layer = nn.Linear(pixels, 4, rng=0)
    trainer(data, spy, layer, batch_size=50, epochs=1, augment=kind).fit()
    return spy


@pytest.mark.parametrize("chosen", [True, "affine"])
def test_affine_moves_cover_their_ranges_and_no_more(chosen: Any) -> None:
    """30 degrees, scales from 0.85 to 1.11 and shifts by 15 %, of training images alone."""
    x = np.broadcast_to(blobs(), (300, 1, 128, 128)).copy()
    spy = shown(chosen, dataset(x, np.arange(300) % 4, augmentation="affine"), 128 * 128)
    found = moves(np.concatenate(spy.seen[True]))
    for name, low, high, tolerance in (
        ("angle", -30, 30, 1.0),
        ("scale", 0.85, 1.11, 0.012),
        ("down", -19, 19, 0.7),
        ("right", -19, 19, 0.7),
    ):
        values = found[name]
        assert low - tolerance < values.min() < low + 2 * tolerance, name
        assert high - 2 * tolerance < values.max() < high + tolerance, name
        assert abs(values.mean() - (low + high) / 2) < (high - low) / 12, name
    for batch in spy.seen[False]:
        np.testing.assert_allclose(batch, np.broadcast_to(blobs() / 255, batch.shape), atol=1e-6)


def test_crops_and_flips_cover_their_ranges_and_no_more() -> None:
    x = np.zeros((600, 1, 16, 16), np.uint8)
    x[:, 0, 8, 6] = 255
    data = dataset(x, np.arange(600) % 4, augmentation="crop-flip")
    spy = shown(True, data, 256)
    count, _, rows, columns = np.nonzero(np.concatenate(spy.seen[True]))
    assert len(count) == 600
    assert set(rows) == set(range(4, 13))
    # unflipped columns 2..10, mirrored 5..13
    assert set(columns) == set(range(2, 14))
    # a third of the unflipped and a third of the mirrored ones, half of all each
    assert 60 < (columns < 5).sum() < 140
    assert 60 < (columns > 10).sum() < 140
    for batch in spy.seen[False]:
        np.testing.assert_allclose(batch, x[: len(batch)] / 255, atol=1e-6)


def test_moves_differ_from_epoch_to_epoch_and_follow_the_seed() -> None:
    x = np.random.default_rng(0).integers(0, 256, (8, 1, 16, 16), np.uint8)
    data = dataset(x, np.arange(8) % 4)
    batches = []
    for seed in (3, 3, 4):
        spy = Spy()
        run = trainer(
            data, spy, nn.Linear(256, 4, rng=0), batch_size=8, epochs=2, augment="affine", seed=seed
        )
        run.fit()
        batches.append([np.sort(batch.reshape(8, -1).sum(axis=1)) for batch in spy.seen[True]])
    assert (batches[0][0] != batches[0][1]).any()
    np.testing.assert_array_equal(batches[0], batches[1])
    assert (batches[0][0] != batches[2][0]).any()


def test_without_augmentation_the_images_are_only_normalised() -> None:
    x = np.random.default_rng(0).integers(0, 256, (8, 1, 16, 16), np.uint8)
    data = dataset(x, np.arange(8) % 4, augmentation="affine")
    spy = Spy()
    trainer(data, spy, nn.Linear(256, 4, rng=0), batch_size=8, epochs=1).fit()
    (batch,) = spy.seen[True]
    found = sorted(map(bytes, np.rint(batch * 255).astype(np.uint8)))
    assert found == sorted(map(bytes, x))


def test_the_choice_of_moves_survives_a_checkpoint(tmp_path: Path, tiny: Dataset) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 4, rng=0), nn.LIF(), T=1, device="reference")
    first = Trainer(
        net, optim.Adam(net.parameters()), tiny, 100, 1, augment="crop-flip", loss="cross-entropy",
        seed=8, checkpoint=tmp_path / "c.h5",
    )  # fmt: skip
    first.fit()
    again = Trainer.resume(tmp_path / "c.h5", tiny, epochs=2, device="reference")
    assert (again.augment, again.loss, again.seed, again.batch_size) == (
        "crop-flip", "cross-entropy", 8, 100,
    )  # fmt: skip
    # rates in 0..1 of four classes cannot have a smaller cross-entropy, nor a larger squared error
    assert min(again.fit()["test_loss"]) > math.log(math.e + 3) - 1 > 0.7
    assert snnr.load(tmp_path / "c.h5").config["augment"] == "crop-flip"
