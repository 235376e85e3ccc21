"""Tests of the whole engine on device "cuda": in the simulator (started by `test_simulator`), or,
marked `gpu`, on a card."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from snnr.data import Dataset

from ...kernels.harness import SIMULATED

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not SIMULATED and HERE in item.path.parents:
            item.add_marker(pytest.mark.gpu)


@pytest.fixture(autouse=True, scope="session")
def quickly() -> Iterator[None]:
    """In the simulator, without its waiting."""
    if not SIMULATED:
        yield
        return
    from ...kernels.quickly import quick_simulator

    with quick_simulator():
        yield


def images(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a bright row that tells the class, uint8 [count, 1, 4, 4]."""
    rng = np.random.default_rng(7)
    pixels = rng.integers(0, 100, (count, 1, 4, 4), np.uint8)
    labels = rng.integers(0, 4, count)
    pixels[np.arange(count), 0, labels] = 255
    return pixels, labels


TRAIN, TEST = 8, 4  # few, so that the simulator gets through them


@pytest.fixture(scope="session")
def few() -> Dataset:
    """A data set in memory."""
    x, y = images(TRAIN + TEST)
    return Dataset(
        "few", x[:TRAIN], y[:TRAIN], x[TRAIN:], y[TRAIN:], (0.3,), (0.35,), 4, "affine", "made"
    )


@pytest.fixture
def few_file(tmp_path: Path) -> Path:
    """The same as a file."""
    x, y = images(TRAIN + TEST)
    path = tmp_path / "few.npz"
    np.savez(path, x_train=x[:TRAIN], y_train=y[:TRAIN], x_test=x[TRAIN:], y_test=y[TRAIN:])
    return path
