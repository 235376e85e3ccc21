"""snnr bench: how fast this machine trains and runs the paper's networks."""

import contextlib
import gc
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from snnr.cli.common import (
    Names,
    machine_options,
    note,
    output_options,
    percent,
    print_json,
    settle,
)
from snnr.cli.screen import print_pairs, print_table

if TYPE_CHECKING:
    from snnr.nn import Sequential
    from snnr.optim import GradR
    from snnr.tensor import Tensor

#: network -> batch of a training step, as in the benchmarks of the repository
BATCHES = {"mnist_fc": 128, "csnn": 32, "cifar10_conv": 4}
OTHER_BATCH = 32
#: firing rate of the layers; trained networks of this kind fire at 2 to 15 %
TARGET_RATE = 0.08


@click.command(name="bench", short_help="Time training and inference on this machine.")
@click.option(
    "--net",
    "nets",
    multiple=True,
    type=Names("snnr.models:MODELS", "snnr.models:canonical"),
    help="Network: a name, with options, or a spec; may be repeated.  [default: mnist_fc and csnn]",
)
@click.option(
    "--connectivity",
    "shares",
    multiple=True,
    type=click.FloatRange(min=0, max=1, min_open=True),
    help="Share of connections that survive; may be repeated.  [default: 1 and 0.02]",
)
@click.option("--batch-size", type=click.IntRange(min=1), help="Images per training step.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=3.0,
    show_default=True,
    help="Time to spend on each figure.",
)
@machine_options
@output_options
def command(
    nets: tuple[str, ...],
    shares: tuple[float, ...],
    batch_size: int | None,
    seconds: float,
    device: str,
    threads: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Time training steps (forward, backward, Grad R) and inference, dense and pruned, and report
    the peak of resident memory, or on a card of what was taken of its memory. Weights are random,
    images MNIST (random ones for cifar10_conv); currents are raised until every layer fires at 8 %
    or more.

    Medians of repeated steps; p10-p90 is where the middle of them lies, but for a tenth at either
    end. A comparison with other frameworks on the same work is in the benchmarks of the source
    repository.

    \b
    Examples:
      snnr bench
      snnr bench --net csnn --connectivity 1 --connectivity 0.05 --json
      snnr bench --net csnn:channels=32 --net 32c3-bn-lif-mp2-fc256-lif-fc10-lif
    """
    from snnr import models

    chosen = settle(device, threads, quiet)
    results = []
    for name in nets or ("mnist_fc", "csnn"):
        for share in shares or (1.0, 0.02):
            note(f"{name} at {percent(share, 0)} connectivity ...", quiet)
            batch = batch_size or BATCHES.get(models.base_name(name) or "", OTHER_BATCH)
            results.append(_measure(name, share, batch, chosen, seconds))
    machine = _machine(chosen)
    if as_json:
        print_json({"machine": machine, "results": results})
        return
    print_pairs([(key.replace("_", " "), str(value)) for key, value in machine.items()])
    click.echo()
    print_table(
        ("network", "connectivity", "batch", "T", "train step", "p10-p90", "inference",
         "one image", "spikes", "peak memory"),
        [
            (
                r["net"], percent(r["connectivity"], 1), str(r["batch_size"]), str(r["timesteps"]),
                f"{r['train_step_ms']:,.2f} ms",
                f"{r['train_step_p10_ms']:,.2f}-{r['train_step_p90_ms']:,.2f}",
                f"{r['inference_ms']:,.2f} ms", f"{1000 * r['inference_one_ms']:,.0f} us",
                percent(r["firing_rate"], 1), f"{r['peak_memory_bytes'] / 2**20:,.0f} MiB",
            )
            for r in results
        ],
        keys=2,
    )  # fmt: skip


def _machine(device: str) -> dict[str, Any]:
    import numba
    import numpy as np

    from snnr import __version__
    from snnr.kernels import threads

    card = {}
    if device == "cuda":
        from snnr.kernels.cuda.device import card_name

        card["card"] = card_name()
    return {
        **card,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": numba.get_num_threads(),
        "threading_layer": threads.layer(),
        "snnr": __version__,
        "numba": numba.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _measure(name: str, share: float, batch: int, device: str, seconds: float) -> dict[str, Any]:
    import numpy as np

    from snnr import Tensor, models, no_grad
    from snnr.kernels import backend
    from snnr.optim import GradR

    memory = _Host() if backend(device).host else _Card()
    rng = np.random.default_rng(0)
    shape = (3, 32, 32) if _is_cifar(name) else (1, 28, 28)
    network = models.make(name, seed=0, device=device, input_shape=shape)
    optimizer = GradR(network.parameters(), lr=1e-4, prior=0.0 if share < 1 else 1e-3)
    if share < 1:
        _prune(optimizer, share, rng)
    pixels = _images(name, batch, rng)
    images, one = Tensor(pixels, device=device), Tensor(pixels[:1], device=device)
    labels = rng.integers(0, 10, batch)
    train = (_on_host if memory.host else _on_card)(network, optimizer, images, labels)
    rates = _calibrate(network, optimizer, images)
    train_ms = _times(train, seconds)
    network.eval()
    with no_grad():
        inference_ms = _times(lambda: network(images).numpy(), seconds / 2)
        one_ms = _times(lambda: network(one).numpy(), seconds / 2)
    tenth = max(len(train_ms) // 10, 0)
    return {
        "net": name,
        "connectivity": optimizer.connectivity(),
        "batch_size": batch,
        "timesteps": network.T,
        "train_step_ms": statistics.median(train_ms),
        "train_step_p10_ms": train_ms[tenth],
        "train_step_p90_ms": train_ms[-1 - tenth],
        "inference_ms": statistics.median(inference_ms),
        "inference_one_ms": statistics.median(one_ms),
        "firing_rate": float(np.mean(list(rates.values()))),
        "peak_memory_bytes": memory.peak(),
    }


def _is_cifar(name: str) -> bool:
    from snnr import models

    return models.base_name(name) == "cifar10_conv"


def _images(name: str, batch: int, rng: Any) -> Any:
    """Normalised MNIST images, or, for the CIFAR network, random ones."""
    import numpy as np

    from snnr import data

    if _is_cifar(name):
        return rng.standard_normal((batch, 3, 32, 32)).astype(np.float32)
    mnist = data.load("mnist", limit_train=max(batch, 1))
    pixels = mnist.x_train[:batch].astype(np.float32) / 255
    return (pixels - np.float32(mnist.mean[0])) / np.float32(mnist.std[0])


def _prune(optimizer: "GradR", share: float, rng: Any) -> None:
    """Move all but a random share of the connections below zero, where no prior moves them."""
    import numpy as np

    for parameter in optimizer.params:
        if parameter.role != "weight":
            continue
        state = optimizer.state[parameter]
        theta, sign = state.numpy("theta").copy(), state.numpy("sign")
        theta[rng.random(theta.shape, np.float32) > share] -= 10
        state.assign("theta", theta)
        parameter.assign(sign * np.maximum(theta, 0))
        parameter.backend.count_nonzero(parameter.memory, optimizer.counts[parameter])


def _calibrate(network: "Sequential", optimizer: "GradR", images: Any) -> dict[str, float]:
    """Raise currents layer by layer until neurons fire about as often as in trained networks."""
    from snnr.nn import IF

    for index, layer in enumerate(network):
        if not isinstance(layer, IF):
            continue
        before = next((x for x in reversed(list(network)[:index]) if x.parameters()), None)
        if before is None:
            continue
        for _ in range(40):
            if _rates(network, images)[layer.name] >= TARGET_RATE:
                break
            for parameter in before.parameters():
                if parameter.role == "shift":
                    parameter.assign(parameter.numpy() + 0.1)
                elif parameter.role == "weight":
                    parameter.assign(parameter.numpy() * 1.3)
                    state = optimizer.state[parameter]
                    state.assign("theta", state.numpy("theta") * 1.3)
    return _rates(network, images)


def _rates(network: "Sequential", images: Any) -> dict[str, float]:
    """Mean firing rate of each neuron layer."""
    from snnr import no_grad
    from snnr.activity import ActivityCounter

    counter = ActivityCounter(network)
    with no_grad(), counter.watching():
        network(images)
    return {name: part.firing_rate for name, part in counter.result().neurons.items()}


def _times(action: Callable[[], Any], seconds: float) -> list[float]:
    """Milliseconds of repeated calls, sorted, after two that do not count."""
    action()
    action()
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while not taken or time.perf_counter() < end:
        start = time.perf_counter()
        action()
        taken.append(1000 * (time.perf_counter() - start))
    return sorted(taken)


def _on_host(
    network: "Sequential", optimizer: "GradR", images: "Tensor", labels: Any
) -> Callable[[], None]:
    """A step that is over when it returns."""
    from snnr import functional as F

    def train() -> None:
        optimizer.zero_grad()
        F.label_mse_loss(F.mean_time(network(images)), labels).backward()
        optimizer.step()

    return train


def _on_card(
    network: "Sequential", optimizer: "GradR", images: "Tensor", labels: Any
) -> Callable[[], None]:
    """A step as `Trainer` takes it, recorded once and replayed, and waited for."""
    from snnr.training.losses import loss_function
    from snnr.training.step import Step

    step = Step(network, optimizer, loss_function("mse"), images.device)

    def train() -> None:
        step.take(images, labels)
        _ = step.tally.correct  # lies on the card: reading it waits

    return train


class _Host:
    """The process's memory."""

    host = True

    def __init__(self) -> None:
        # start the peak anew (Linux; elsewhere it stays that of the process)
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")

    def peak(self) -> int:
        """Peak of resident memory in bytes."""
        try:
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("VmHWM"):
                    return 1024 * int(line.split()[1])
        except OSError:
            pass
        unit = 1 if platform.system() == "Darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class _Card:
    """The card's memory."""

    host = False

    def __init__(self) -> None:
        from snnr.kernels.cuda.memory import pool

        self._pool = pool()
        # what an earlier network left unused shall not count
        gc.collect()
        self._pool.trim()

    def peak(self) -> int:
        """Bytes taken from the driver, used or not: none are given back meanwhile."""
        return self._pool.held
