"""Small stand-ins that many tests share, and how the suite is spread over cores."""

import signal
from pathlib import Path

import numba
import numpy as np
import pytest
import snnr.data
from snnr.data import Dataset

import snnr.kernels.jit  # settles the folder of compiled kernels before a test changes the places

#: processes; most of the time goes into compiling kernels and few are left when four do it
WORKERS = 4
#: what takes longest, so that the workers end together: first what compiles most, then what starts
#: processes, which find most kernels compiled
FIRST = (
    "cuda/test_races.py",
    "cuda/test_simulator.py",
    "trust/test_properties.py",
    "cuda/test_launches.py",
    "sparse/test_engine.py",
    "test_flat.py",
    "kernels/test_neuron.py",
    "kernels/test_conv.py",
    "kernels/test_survivors.py",
    "kernels/test_linear.py",
    "kernels/test_optim.py",
    "kernels/test_norm.py",
    "test_cache.py",
    "input/test_images.py",
    "test_concurrency.py",
    "docs/test_snippets.py",
    "cli/test_process.py",
    "trust/test_quick.py",
    "test_checkpoint_promises.py",
    "defects/test_installed.py",
    "test_fork.py",
    "test_threads.py",
)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """The whole suite uses the cores; files that were named run in this process."""
    cores = int(numba.config.NUMBA_DEFAULT_NUM_THREADS)
    if cores == 1 or config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return 0
    return min(WORKERS, cores)


def pytest_configure() -> None:
    """Ctrl-C is ignored in what a shell started in the background, a closed terminal under nohup,
    and both in their children, of which many tests expect that they answer. What is handled here is
    not ignored there."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    closed = getattr(signal, "SIGHUP", None)  # Windows has none
    if closed is not None and signal.getsignal(closed) is signal.SIG_IGN:
        signal.signal(closed, lambda number, frame: None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A worker takes the files in this order."""
    place = {Path(__file__).parent / name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: place.get(item.path, len(FIRST)))


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
