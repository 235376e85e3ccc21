"""Trainings beside others, in one process, for `test_concurrency.py`:

    python neighbours.py LAYER PART [first]

prints as JSON what every training gave: "alone" and each name in the part must agree. With "first"
torch and its threads are there before snnr is imported.
"""

import asyncio
import hashlib
import json
import multiprocessing
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numba
import numpy as np

if __name__ in ("__main__", "__mp_main__"):
    numba.config.THREADING_LAYER = sys.argv[1]
    if sys.argv[3:] == ["first"]:
        import torch

        torch.set_num_threads(2)
        torch.ones(1 << 20).exp().sum()

import snnr
from snnr import functional as F
from snnr import nn, optim
from snnr.input import Samples, Source
from snnr.kernels import threads
from snnr.tensor import Tensor
from snnr.training import Trainer

SEEDS = (0, 1)


class Drawn(Source):
    """Images, as float32."""

    def __init__(self, seed: int) -> None:
        super().__init__("cpu")
        self.x = np.random.default_rng(seed).normal(size=(60, 1, 8, 8)).astype(np.float32)
        self.count, self.sample_shape = 60, (1, 8, 8)

    def batch(self, index: Any, rng: np.random.Generator | None = None) -> Tensor:
        return Tensor(self.x[self.checked(index)])


def network(seed: int) -> nn.Sequential:
    rng = np.random.default_rng(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, rng=rng), nn.BatchNorm2d(8), nn.LIF(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.5, rng=seed), nn.Linear(128, 4, rng=rng), nn.LIF(), T=3,
    )  # fmt: skip


def digest(seed: int) -> str:
    """Train and hash every weight, and what was measured on the way."""
    labels = np.arange(60) % 4
    samples = Samples("drawn", Drawn(seed), labels, Drawn(seed + 10), labels, 4)
    net = network(seed)
    run = Trainer(net, optim.GradR(net.parameters(), lr=0.01, prior=0.1), samples, 15, 2, seed=seed)
    run.fit()
    total = hashlib.sha256()
    for p in net.parameters():
        total.update(np.ascontiguousarray(p.numpy()).tobytes())
    total.update(repr((run.history["test_loss"], run.history["firing_rate"])).encode())
    return total.hexdigest()


def digest_of(seed: int) -> str:
    """In a process of its own: what it gave, or the error that says what to do."""
    try:
        return digest(seed)
    except snnr.DeviceError as error:
        return f"DeviceError: {error}"


def beside(other: Callable[[], Any]) -> list[str]:
    """Trainings while a second thread does something else, over and over."""
    stop, problems = threading.Event(), []

    def busy() -> None:
        try:
            while not stop.is_set():
                other()
        except BaseException as error:
            problems.append(repr(error))

    worker = threading.Thread(target=busy)
    worker.start()
    try:
        return [digest(seed) for seed in SEEDS] + problems
    finally:
        stop.set()
        worker.join()


def two_threads() -> list[str]:
    found: dict[int, str] = {}
    start = threading.Barrier(len(SEEDS))

    def run(seed: int) -> None:
        start.wait()
        found[seed] = digest(seed)

    workers = [threading.Thread(target=run, args=(seed,)) for seed in SEEDS]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return [found.get(seed, "nothing") for seed in SEEDS]


def beside_evaluation() -> list[str]:
    net = network(5).eval()
    images = np.random.default_rng(9).normal(size=(20, 1, 8, 8)).astype(np.float32)
    expected = net(images).numpy().copy()

    def evaluate() -> None:
        with snnr.no_grad():
            assert (net(images).numpy() == expected).all()

    return beside(evaluate)


def beside_blas() -> list[str]:
    a = np.random.default_rng(3).normal(size=(300, 300))
    return beside(lambda: np.linalg.svd(a @ a))


def beside_torch() -> dict[str, list[str]]:
    """Trainings after torch has computed, and while it computes in another thread, on two threads
    of its own; torch, too, gives what it gave."""
    import torch

    torch.set_num_threads(2)
    assert torch.get_num_threads() == 2
    a = torch.arange(300 * 300, dtype=torch.float32).reshape(300, 300).sin()
    images = a.reshape(1, 1, 300, 300)
    kernel = a[:9, :9].reshape(1, 1, 9, 9)

    def compute() -> Any:
        return torch.nn.functional.conv2d(images, kernel).exp().softmax(-1), a @ a

    expected = compute()

    def agrees() -> None:
        assert all(map(torch.equal, compute(), expected))

    return {"after torch": [digest(seed) for seed in SEEDS], "beside torch": beside(agrees)}


def tasks() -> list[str]:
    """Steps of two trainings that take turns in one thread, one of them evaluating in between."""

    async def run(seed: int) -> str:
        net, rng = network(seed), np.random.default_rng(seed)
        optimizer = optim.GradR(net.parameters(), lr=0.01)
        for _ in range(4):
            x = rng.normal(size=(6, 1, 8, 8)).astype(np.float32)
            with snnr.no_grad():
                await asyncio.sleep(0)
                assert not net(x).requires_grad
                await asyncio.sleep(0)
            optimizer.zero_grad()
            loss = F.cross_entropy(F.mean_time(net(x)), np.arange(6) % 4)
            await asyncio.sleep(0)
            loss.backward()
            optimizer.step()
        return hashlib.sha256(b"".join(p.numpy().tobytes() for p in net.parameters())).hexdigest()

    async def both() -> list[str]:
        return list(await asyncio.gather(*map(run, SEEDS)))

    alone = [asyncio.run(run(seed)) for seed in SEEDS]
    return alone + asyncio.run(both())


def pool(kind: str) -> list[str]:
    context = multiprocessing.get_context(kind)
    with ProcessPoolExecutor(2, mp_context=context) as workers:
        return list(workers.map(digest_of, SEEDS, timeout=200))


PARTS: dict[str, Callable[[], dict[str, list[str]]]] = {
    "threads": lambda: {
        "two threads": two_threads(),
        "beside an evaluation": beside_evaluation(),
        "beside BLAS": beside_blas(),
    },
    "torch": beside_torch,
    "tasks": lambda: {"tasks": tasks()},
    "fork": lambda: {"fork": pool("fork")},
    "spawn": lambda: {"spawn": pool("spawn")},
}

if __name__ == "__main__":
    told = {"alone": [digest(seed) for seed in SEEDS], **PARTS[sys.argv[2]]()}
    print(json.dumps({"layer": threads.layer(), "told": told}))
