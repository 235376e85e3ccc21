"""Tests of the whole engine on device "cuda": in the simulator (started by `test_simulator`), or,
marked `gpu`, on a card."""

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


def images(count: int, size: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a bright row that tells the class, uint8 [count, 1, size, size]."""
    rng = np.random.default_rng(7)
    pixels = rng.integers(0, 100, (count, 1, size, size), np.uint8)
    labels = rng.integers(0, 4, count)
    for k, label in enumerate(labels):
        pixels[k, 0, 2 * label : 2 * label + 2] = 255
    return pixels, labels


@pytest.fixture(scope="session")
def few() -> Dataset:
    """24 images to learn from, 12 to test with; so few that the simulator gets through them."""
    pixels, labels = images(36)
    return Dataset(
        "few", pixels[:24], labels[:24], pixels[24:], labels[24:], (0.3,), (0.35,), 4, "affine",
        "made",
    )  # fmt: skip


@pytest.fixture
def few_file(tmp_path: Path) -> Path:
    """The same as a file."""
    pixels, labels = images(36)
    path = tmp_path / "few.npz"
    np.savez(path, x_train=pixels[:24], y_train=labels[:24], x_test=pixels[24:], y_test=labels[24:])
    return path
