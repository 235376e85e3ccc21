"""Random moves of training images: kernels against the oracle, and what the moves do."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from snnr.augment import KINDS, Augmenter, affine_matrices
from snnr.errors import ConfigError, ShapeError
from snnr.kernels.cpu import input as cpu
from snnr.kernels.reference import input as reference

NAMES = ("normalise", "random_affine", "crop_flip")
TABLES: dict[str, dict[str, Callable[..., Any]]] = {
    module.__name__: {name: getattr(module, name) for name in NAMES} for module in (cpu, reference)
}
SHAPES = [(1, 28, 28), (3, 32, 32), (2, 5, 9), (1, 1, 7), (4, 3, 1), (1, 1, 1)]
IDENTITY = np.array([[1, 0, 0, 0, 1, 0]], np.float32)


@pytest.fixture(params=TABLES.values(), ids=["cpu", "reference"])
def kernels(request: pytest.FixtureRequest) -> dict[str, Callable[..., Any]]:
    table: dict[str, Callable[..., Any]] = request.param
    return table


def case(shape: tuple[int, int, int], count: int = 11) -> dict[str, Any]:
    rng = np.random.default_rng(sum(shape))
    return {
        "images": rng.integers(0, 256, (6, *shape), np.uint8),
        "index": rng.integers(0, 6, count),
        "mean": rng.uniform(0.1, 0.6, shape[0]).astype(np.float32),
        "std": rng.uniform(0.2, 0.4, shape[0]).astype(np.float32),
        "rng": rng,
    }


def both(name: str, c: dict[str, Any], *moves: Any) -> None:
    channels, height, width = c["images"].shape[1:]
    outs = []
    for table in TABLES.values():
        out = np.full((len(c["index"]), height, width, channels), np.nan, np.float32)
        table[name](c["images"], c["index"], *moves, c["mean"], c["std"], out)
        outs.append(out)
    np.testing.assert_array_equal(outs[0], outs[1])


@pytest.mark.parametrize("shape", SHAPES)
def test_kernels_agree_with_the_oracle(shape: tuple[int, int, int]) -> None:
    c = case(shape)
    rng, count = c["rng"], len(c["index"])
    both("normalise", c)
    both("random_affine", c, affine_matrices(rng, count, *shape[1:], 30, 0.15, (0.85, 1.11)))
    both("random_affine", c, rng.normal(0, 2, (count, 6)).astype(np.float32))
    both("random_affine", c, np.full((count, 6), 1e30, np.float32))
    dy, dx = rng.integers(-4, 5, (2, count))
    both("crop_flip", c, dy, dx, rng.integers(0, 2, count, np.uint8))


def test_normalise_is_the_formula(kernels: dict[str, Callable[..., Any]]) -> None:
    c = case((3, 4, 5))
    got = Augmenter(None, c["mean"], c["std"], kernels).batch(c["images"], c["index"])
    scaled = c["images"][c["index"]] / 255
    expected = (scaled - c["mean"][:, None, None]) / c["std"][:, None, None]
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)
    assert got.shape == (11, 3, 4, 5)
    assert got.dtype == np.float32
    assert got.transpose(0, 2, 3, 1).flags.c_contiguous


def pixels(
    kernels: dict[str, Callable[..., Any]], name: str, images: np.ndarray, *moves: Any
) -> np.ndarray:
    """One kernel without normalisation, as [B, C, H, W] of 0..255."""
    count, channels, height, width = images.shape
    out = np.empty((count, height, width, channels), np.float32)
    zero, one = np.zeros(channels, np.float32), np.ones(channels, np.float32)
    kernels[name](images, np.arange(count), *moves, zero, one, out)
    return np.rint(out * 255).astype(np.uint8).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_identity_changes_nothing(
    kernels: dict[str, Callable[..., Any]], shape: tuple[int, int, int]
) -> None:
    images = case(shape)["images"][:1]
    np.testing.assert_array_equal(pixels(kernels, "random_affine", images, IDENTITY), images)
    still = np.zeros(1, np.int64)
    plain = pixels(kernels, "crop_flip", images, still, still, np.zeros(1, np.uint8))
    np.testing.assert_array_equal(plain, images)
    mirrored = pixels(kernels, "crop_flip", images, still, still, np.ones(1, np.uint8))
    np.testing.assert_array_equal(mirrored, images[..., ::-1])


@pytest.mark.parametrize(("down", "right"), [(0, 3), (2, 0), (-1, 4), (3, -2), (30, 0)])
def test_shifts_move_by_whole_pixels(
    kernels: dict[str, Callable[..., Any]], down: int, right: int
) -> None:
    images = case((2, 8, 10))["images"][:1]
    expected = np.zeros_like(images)
    for y in range(8):
        for x in range(10):
            if 0 <= y - down < 8 and 0 <= x - right < 10:
                expected[0, :, y, x] = images[0, :, y - down, x - right]
    inverse = IDENTITY + np.array([0, 0, -right, 0, 0, -down], np.float32)
    np.testing.assert_array_equal(pixels(kernels, "random_affine", images, inverse), expected)
    dy, dx = np.array([-down]), np.array([-right])
    moved = pixels(kernels, "crop_flip", images, dy, dx, np.zeros(1, np.uint8))
    np.testing.assert_array_equal(moved, expected)
    flipped = pixels(kernels, "crop_flip", images, dy, dx, np.ones(1, np.uint8))
    np.testing.assert_array_equal(flipped, expected[..., ::-1])


def test_a_quarter_turn_and_a_doubling(kernels: dict[str, Callable[..., Any]]) -> None:
    images = case((1, 6, 6))["images"][:1]
    turn = np.array([[0, 1, 0, -1, 0, 0]], np.float32)  # (u, v) takes from (v, -u): clockwise
    turned = pixels(kernels, "random_affine", images, turn)
    np.testing.assert_array_equal(turned[0, 0], np.rot90(images[0, 0], -1))
    half = np.array([[0.5, 0, 0, 0, 0.5, 0]], np.float32)
    doubled = images[:, :, [1, 2, 2, 3, 3, 4]][..., [1, 2, 2, 3, 3, 4]]
    np.testing.assert_array_equal(pixels(kernels, "random_affine", images, half), doubled)


def test_matrices_invert_scale_rotation_and_shift() -> None:
    """Row by row the inverse of p -> scale·R(angle)·p + shift, with everything in its range."""
    rows = affine_matrices(np.random.default_rng(0), 2000, 20, 40, 30, 0.15, (0.85, 1.11))
    assert rows.dtype == np.float32
    linear = np.linalg.inv(rows.astype(float).reshape(-1, 2, 3)[:, :, :2])
    shift = -np.einsum("bij,bj->bi", linear, rows[:, [2, 5]])
    size = np.sqrt(np.linalg.det(linear))
    angle = np.rad2deg(np.arctan2(linear[:, 1, 0], linear[:, 0, 0]))
    np.testing.assert_allclose(linear[:, 0, 0], linear[:, 1, 1], atol=1e-6)
    np.testing.assert_allclose(linear[:, 0, 1], -linear[:, 1, 0], atol=1e-6)
    np.testing.assert_allclose(shift, np.rint(shift), atol=1e-5)
    for values, low, high, tolerance in (
        (angle, -30, 30, 0.3),
        (size, 0.85, 1.11, 0.01),
        (shift[:, 0], -6, 6, 1e-4),
        (shift[:, 1], -3, 3, 1e-4),
    ):
        assert low - 1e-4 <= values.min() <= low + tolerance
        assert high - tolerance <= values.max() <= high + 1e-4
    assert abs(angle.mean()) < 2


@pytest.mark.parametrize("kind", KINDS)
def test_seeds_reproduce(kernels: dict[str, Callable[..., Any]], kind: Any) -> None:
    c = case((3, 8, 8))
    augmenter = Augmenter(kind, c["mean"], c["std"], kernels)

    def batch(seed: int) -> np.ndarray:
        return augmenter.batch(c["images"], c["index"], np.random.default_rng(seed)).copy()

    np.testing.assert_array_equal(batch(1), batch(1))
    assert (batch(1) != batch(2)).any()
    plain = augmenter.batch(c["images"], c["index"])
    assert (batch(1) != plain).any()


def test_crop_flip_draws_every_move() -> None:
    """A single bright pixel shows where each image went: all 81 shifts, both directions."""
    image = np.zeros((1, 1, 17, 17), np.uint8)
    image[0, 0, 8, 7] = 255
    augmenter = Augmenter("crop-flip", [0.0], [1.0], TABLES[cpu.__name__])
    moved = augmenter.batch(image, np.zeros(4000, np.int64), np.random.default_rng(0))
    count, _, rows, columns = np.nonzero(moved)
    assert len(set(count)) == 4000
    # unflipped columns 3..11, mirrored 5..13
    assert sorted(set(rows)) == list(range(4, 13))
    assert sorted(set(columns)) == list(range(3, 14))
    assert len(set(zip(rows, columns, strict=True))) == 9 * 11
    # 5 of 9 lie left of column 8, mirrored 3 of 9
    assert abs((columns < 8).mean() - 4 / 9) < 0.03


def test_no_kind_never_moves(kernels: dict[str, Callable[..., Any]]) -> None:
    c = case((1, 5, 5))
    augmenter = Augmenter(None, c["mean"], c["std"], kernels)
    np.testing.assert_array_equal(
        augmenter.batch(c["images"], c["index"], np.random.default_rng(0)),
        augmenter.batch(c["images"], c["index"]),
    )


def test_float_images_are_normalised_in_their_own_units() -> None:
    images = np.random.default_rng(0).normal(5, 3, (6, 2, 3, 4)).astype(np.float32)
    augmenter = Augmenter(None, [5.0, 4.0], [3.0, 2.0], TABLES[cpu.__name__])
    got = augmenter.batch(images, np.array([4, 0]))
    mean = np.array([5, 4], np.float32)[:, None, None]
    std = np.array([3, 2], np.float32)[:, None, None]
    expected = (images[[4, 0]] - mean) / std
    np.testing.assert_array_equal(got, expected)
    moving = Augmenter("affine", [5.0, 4.0], [3.0, 2.0], TABLES[cpu.__name__])
    with pytest.raises(ConfigError, match="float32"):
        moving.batch(images, np.array([0]), np.random.default_rng(0))
    np.testing.assert_array_equal(moving.batch(images, np.array([4, 0])), expected)


def test_out_is_written_again_and_may_be_larger() -> None:
    c = case((3, 4, 5))
    augmenter = Augmenter("affine", c["mean"], c["std"], TABLES[cpu.__name__])
    buffer = augmenter.batch(c["images"], c["index"])
    again = augmenter.batch(c["images"], c["index"][:4], np.random.default_rng(0), out=buffer)
    assert again.shape == (4, 3, 4, 5)
    assert np.shares_memory(again, buffer)
    fresh = augmenter.batch(c["images"], c["index"][:4], np.random.default_rng(0))
    np.testing.assert_array_equal(again, fresh)


def test_an_empty_batch(kernels: dict[str, Callable[..., Any]]) -> None:
    c = case((3, 4, 5))
    augmenter = Augmenter("affine", c["mean"], c["std"], kernels)
    empty = augmenter.batch(c["images"], np.zeros(0, np.int64), np.random.default_rng(0))
    assert empty.shape == (0, 3, 4, 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": np.zeros((2, 3, 4), np.uint8)}, "expected uint8 or float32 .M, C, H, W."),
        ({"images": np.zeros((2, 1, 3, 4))}, "images is float64"),
        ({"images": np.zeros((2, 1, 3, 8), np.uint8)[..., ::2]}, "not contiguous"),
        ({"images": np.zeros((2, 3, 3, 4), np.uint8)}, "3 channels, mean and std have 1"),
        ({"index": np.zeros((1, 1), int)}, "whole numbers"),
        ({"index": np.zeros(1)}, "whole numbers"),
        ({"index": np.array([0, 2])}, r"0 to 2, expected 0\.\.1"),
        ({"index": np.array([-1])}, "-1 to -1"),
        ({"out": np.zeros((1, 1, 3, 4), np.float32)}, "at least .2, 1, 3, 4"),
        ({"out": np.zeros((2, 1, 3, 5), np.float32)}, "at least"),
        ({"out": np.zeros((2, 1, 3, 4))}, "float64"),
    ],
)
def test_rejects_arrays_that_do_not_fit(changes: dict[str, Any], message: str) -> None:
    arguments = {"images": np.zeros((2, 1, 3, 4), np.uint8), "index": np.array([0, 1])} | changes
    augmenter = Augmenter(None, [0.5], [0.5], TABLES[cpu.__name__])
    with pytest.raises(ShapeError, match=message):
        augmenter.batch(**arguments)


def test_rejects_a_channels_first_buffer() -> None:
    images = np.zeros((2, 3, 4, 5), np.uint8)
    augmenter = Augmenter(None, [0.5] * 3, [0.5] * 3, TABLES[cpu.__name__])
    with pytest.raises(ShapeError, match="channels-last in memory"):
        augmenter.batch(images, np.array([0]), out=np.zeros((1, 3, 4, 5), np.float32))


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "rotate"},
        {"mean": [0.5, 0.5]},
        {"mean": [], "std": []},
        {"mean": [np.nan]},
        {"std": [0.0]},
        {"std": [np.inf]},
        {"kernels": {}},
        {"degrees": -1},
        {"degrees": np.nan},
        {"translate": 1.5},
        {"scale": (0.0, 1.0)},
        {"scale": (1.2, 1.0)},
        {"padding": -1},
        {"padding": 1.5},
    ],
)
def test_rejects_settings_that_make_no_sense(changes: dict[str, Any]) -> None:
    settings = {"kind": "affine", "mean": [0.5], "std": [0.5], "kernels": TABLES[cpu.__name__]}
    with pytest.raises(ConfigError):
        Augmenter(**(settings | changes))
