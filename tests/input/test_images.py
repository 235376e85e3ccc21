"""Random moves of training images: kernels against the oracle, and what the moves do."""

from typing import Any

import numpy as np
import pytest

from snnr.errors import ConfigError, DeviceError, ShapeError
from snnr.input import KINDS, Images, affine_matrices
from snnr.kernels import Backend, backend

DEVICES = ("cpu", "reference")
SHAPES = [(1, 28, 28), (3, 32, 32), (2, 5, 9), (1, 1, 7), (4, 3, 1), (1, 1, 1)]
IDENTITY = np.array([[1, 0, 0, 0, 1, 0]], np.float32)


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def kernels(device: str) -> Backend:
    return backend(device)


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
    for device in DEVICES:
        out = np.full((len(c["index"]), height, width, channels), np.nan, np.float32)
        getattr(backend(device), name)(c["images"], c["index"], *moves, c["mean"], c["std"], out)
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


def images_of(c: dict[str, Any], kind: Any = None, device: str = "cpu") -> Images:
    return Images(c["images"], c["mean"], c["std"], kind, device)


def test_normalise_is_the_formula(device: str) -> None:
    c = case((3, 4, 5))
    source = images_of(c, device=device)
    got = source.batch(c["index"])
    scaled = c["images"][c["index"]] / 255
    expected = (scaled - c["mean"][:, None, None]) / c["std"][:, None, None]
    np.testing.assert_allclose(got.numpy(), expected, rtol=0, atol=1e-6)
    assert (got.shape, got.dtype, got.timesteps) == ((11, 3, 4, 5), np.float32, None)
    assert got.device == source.device == device
    assert got.memory.shape == (11, 4, 5, 3)
    assert (source.count, len(source), source.sample_shape) == (6, 6, (3, 4, 5))
    assert source.about() == {
        "image_shape": [3, 4, 5], "mean": c["mean"].tolist(), "std": c["std"].tolist(),
    }  # fmt: skip


def pixels(kernels: Backend, name: str, images: np.ndarray, *moves: Any) -> np.ndarray:
    """One kernel without normalisation, as [B, C, H, W] of 0..255."""
    count, channels, height, width = images.shape
    out = np.empty((count, height, width, channels), np.float32)
    zero, one = np.zeros(channels, np.float32), np.ones(channels, np.float32)
    getattr(kernels, name)(images, np.arange(count), *moves, zero, one, out)
    return np.rint(out * 255).astype(np.uint8).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_identity_changes_nothing(kernels: Backend, shape: tuple[int, int, int]) -> None:
    images = case(shape)["images"][:1]
    np.testing.assert_array_equal(pixels(kernels, "random_affine", images, IDENTITY), images)
    still = np.zeros(1, np.int64)
    plain = pixels(kernels, "crop_flip", images, still, still, np.zeros(1, np.uint8))
    np.testing.assert_array_equal(plain, images)
    mirrored = pixels(kernels, "crop_flip", images, still, still, np.ones(1, np.uint8))
    np.testing.assert_array_equal(mirrored, images[..., ::-1])


@pytest.mark.parametrize(("down", "right"), [(0, 3), (2, 0), (-1, 4), (3, -2), (30, 0)])
def test_shifts_move_by_whole_pixels(kernels: Backend, down: int, right: int) -> None:
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


def test_a_quarter_turn_and_a_doubling(kernels: Backend) -> None:
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
def test_seeds_reproduce(device: str, kind: Any) -> None:
    c = case((3, 8, 8))
    source = images_of(c, kind, device)

    def batch(seed: int) -> np.ndarray:
        return source.batch(c["index"], np.random.default_rng(seed)).numpy()

    np.testing.assert_array_equal(batch(1), batch(1))
    assert (batch(1) != batch(2)).any()
    plain = source.batch(c["index"]).numpy()
    assert (batch(1) != plain).any()


@pytest.mark.parametrize("kind", KINDS)
def test_every_device_moves_alike(kind: Any) -> None:
    c = case((2, 9, 7))
    batches = [
        images_of(c, kind, name).batch(c["index"], np.random.default_rng(3)).numpy()
        for name in DEVICES
    ]
    np.testing.assert_array_equal(*batches)


def test_crop_flip_draws_every_move() -> None:
    """A single bright pixel shows where each image went: all 81 shifts, both directions."""
    image = np.zeros((1, 1, 17, 17), np.uint8)
    image[0, 0, 8, 7] = 255
    source = Images(image, [0.0], [1.0], "crop-flip")
    moved = source.batch(np.zeros(4000, np.int64), np.random.default_rng(0)).numpy()
    count, _, rows, columns = np.nonzero(moved)
    assert len(set(count)) == 4000
    # unflipped columns 3..11, mirrored 5..13
    assert sorted(set(rows)) == list(range(4, 13))
    assert sorted(set(columns)) == list(range(3, 14))
    assert len(set(zip(rows, columns, strict=True))) == 9 * 11
    # 5 of 9 lie left of column 8, mirrored 3 of 9
    assert abs((columns < 8).mean() - 4 / 9) < 0.03


def test_no_kind_never_moves_and_draws_nothing(device: str) -> None:
    c = case((1, 5, 5))
    source, rng = images_of(c, device=device), np.random.default_rng(0)
    np.testing.assert_array_equal(
        source.batch(c["index"], rng).numpy(), source.batch(c["index"]).numpy()
    )
    assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state


def test_float_images_are_normalised_in_their_own_units(device: str) -> None:
    images = np.random.default_rng(0).normal(5, 3, (6, 2, 3, 4)).astype(np.float32)
    source = Images(images, [5.0, 4.0], [3.0, 2.0], device=device)
    got = source.batch([4, 0]).numpy()
    mean = np.array([5, 4], np.float32)[:, None, None]
    std = np.array([3, 2], np.float32)[:, None, None]
    np.testing.assert_array_equal(got, (images[[4, 0]] - mean) / std)


def test_images_are_put_into_memory_once() -> None:
    images = case((1, 5, 5))["images"]
    source = Images(images, [0.5], [0.5])
    before = source.batch([2]).numpy().copy()
    images[2] = 255 - images[2]
    # on a host device they are the very array
    assert (source.batch([2]).numpy() != before).all()
    backwards = Images(images[::-1], [0.5], [0.5])
    np.testing.assert_array_equal(backwards.batch([0]).numpy(), source.batch([5]).numpy())


def test_a_batch_is_not_written_again_while_somebody_holds_it() -> None:
    c = case((1, 200, 200))
    source = images_of(c)
    first = source.batch([0])
    kept = first.numpy().copy()
    second = source.batch([1])
    assert not np.shares_memory(first.numpy(), second.numpy())
    np.testing.assert_array_equal(first.numpy(), kept)


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_a_batch_may_be_written_over_an_earlier_one(device: str, kind: Any) -> None:
    c = case((2, 5, 9))
    images = Images(c["images"], c["mean"], c["std"], kind, device)
    expected = [images.batch(np.arange(3), np.random.default_rng(s)).numpy() for s in (0, 1)]
    out = images.batch(np.arange(3), np.random.default_rng(0))
    memory = out.memory
    assert images.refill(out, np.arange(3), np.random.default_rng(1)) is out
    assert out.memory is memory
    np.testing.assert_array_equal(out.numpy(), expected[1])
    other = images.refill(out, np.arange(2), np.random.default_rng(0))
    assert other.shape == (2, 2, 5, 9)
    np.testing.assert_array_equal(out.numpy(), expected[1])


def test_an_empty_batch(device: str) -> None:
    source = images_of(case((3, 4, 5)), "affine", device)
    assert source.batch([], np.random.default_rng(0)).shape == (0, 3, 4, 5)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 3, 4), np.uint8), "expected uint8 or float32 .M, C, H, W."),
        (np.zeros((2, 1, 3, 4)), "images is float64"),
    ],
)
def test_rejects_images_that_do_not_fit(images: np.ndarray, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        Images(images, [0.5], [0.5])


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (np.zeros((1, 1), int), "whole numbers"),
        (np.zeros(1), "whole numbers"),
        ([0, 2], r"0 to 2, expected 0\.\.1"),
        ([-1], "-1 to -1"),
    ],
)
def test_rejects_an_index_that_points_nowhere(index: Any, message: str) -> None:
    source = Images(np.zeros((2, 1, 3, 4), np.uint8), [0.5], [0.5])
    with pytest.raises(ShapeError, match=message):
        source.batch(index)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "rotate"}, "unknown moves 'rotate': expected one of affine, crop-flip"),
        ({"images": np.zeros((2, 1, 3, 4), np.float32)}, "these are float32"),
        ({"mean": [0.5, 0.5]}, "one number for each of the 1 channels"),
        ({"mean": [], "std": []}, "one number"),
        ({"mean": 0.5, "std": 0.5}, "one number"),
        ({"mean": None}, "must be numbers|one number"),
        ({"mean": ["x"]}, "must be numbers"),
        ({"mean": [np.nan]}, "finite"),
        ({"std": [0.0]}, "positive"),
        ({"std": [np.inf]}, "finite"),
        ({"degrees": -1}, "degrees"),
        ({"degrees": np.nan}, "degrees"),
        ({"translate": 1.5}, "translate"),
        ({"scale": (0.0, 1.0)}, "scale"),
        ({"scale": (1.2, 1.0)}, "scale"),
        ({"kind": "crop-flip", "padding": -1}, "between 0 and"),
        ({"kind": "crop-flip", "padding": 1.5}, "whole number"),
        ({"padding": 2}, "padding is no option of affine"),
        ({"kind": None, "degrees": 3}, "which is None"),
    ],
)
def test_rejects_settings_that_make_no_sense(changes: dict[str, Any], message: str) -> None:
    images = np.zeros((2, 1, 3, 4), np.uint8)
    settings = {"images": images, "mean": [0.5], "std": [0.5], "kind": "affine"}
    with pytest.raises(ConfigError, match=message):
        Images(**(settings | changes))


def test_rejects_a_device_that_does_not_exist() -> None:
    with pytest.raises(DeviceError, match="'abacus'"):
        Images(np.zeros((2, 1, 3, 4), np.uint8), [0.5], [0.5], device="abacus")
