"""Small stand-ins that many tests share."""

from pathlib import Path

import numpy as np
import pytest
import snnr.data
from snnr.data import Dataset

import snnr.kernels.jit  # settles the folder of compiled kernels before a test changes the places


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An .npz of 8x8 images in four classes, easy to tell apart: 200 to train with, 80 to test."""
    rng = np.random.default_rng(7)
    patterns = rng.integers(0, 256, (4, 1, 8, 8))

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.integers(0, 4, count)
        noisy = patterns[labels] + rng.integers(-60, 61, (count, 1, 8, 8))
        return np.clip(noisy, 0, 255).astype(np.uint8), labels

    path = tmp_path_factory.mktemp("data") / "tiny.npz"
    (x_train, y_train), (x_test, y_test) = draw(200), draw(80)
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return path


@pytest.fixture
def tiny(tiny_file: Path) -> Dataset:
    return snnr.data.load(tiny_file)


@pytest.fixture(scope="session")
def sweep_folder(tiny_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of three settings, two seeds each: 64 - 8 - 4 on `tiny_file`."""
    out = tmp_path_factory.mktemp("sweep")
    axes = {"method": ["grad-r", "dense"], "prior": [0.05, 0.5], "seed": [0, 1]}
    fixed = {"epochs": 2, "timesteps": 2, "limit_train": 100, "batch_size": 20, "lr": 0.01}
    from snnr.sweep import plan
    from snnr.sweep.job import execute

    for run in plan(str(tiny_file), axes, net="fc8-lif-fc4-lif", device="cpu", **fixed):
        assert execute(run.config, out / run.name, lambda event: None)["event"] == "finished"
    return out
