"""The parts of the benchmarks that need neither peers nor a card."""

import time
from typing import Any

import launches
import lif
import numpy as np
import pytest
import record
import worker
from networks import WORKS
from record import Record


class Slow:
    """A device that works on while the program goes on: a step takes it `each` seconds."""

    notes = "none"

    def __init__(self, each: float) -> None:
        self.each = each
        self.busy_until = 0.0
        self.taken: list[int] = []

    def step(self, index: int) -> None:
        self.taken.append(index)
        self.busy_until = max(self.busy_until, time.perf_counter()) + self.each

    def wait(self) -> float:
        time.sleep(max(0.0, self.busy_until - time.perf_counter()))
        return 0.25


def test_steps_are_over_when_the_device_is_done() -> None:
    slow = Slow(0.02)
    told = worker.run(slow, 5, 3, card=True)  # type: ignore[arg-type]
    assert slow.taken == [5, 6, 7, 8, 9, 10]
    assert told["done"] == 6
    assert told["loss"] == 0.25
    assert told["together"] >= 0.06
    assert all(seconds >= 0.02 for seconds in told["times"])
    assert len(told["times"]) == 3
    told = worker.run(slow, 0, 2, card=False)  # type: ignore[arg-type]
    assert "together" not in told
    assert told["done"] == len(told["times"]) == 2


def test_tf32_is_judged_by_tf32() -> None:
    """What is as far off as TF32 rounds is wrong for strict float32 alone."""
    work = WORKS["mnist_fc"]
    rng = np.random.default_rng(0)
    gradient = rng.standard_normal(1000)

    def told(error: float) -> Record:
        off = gradient + error * rng.standard_normal(1000)
        norm = float(np.linalg.norm(off))
        return Record(loss=0.1, spikes={"l": 0.1}, grad_norms={"w": norm}, grads={"w": list(off)})

    exact, plain = told(0), told(1e-7)
    assert record.far(told(1e-2), exact, plain, work, tf32=True) == []
    assert record.far(told(1e-2), exact, plain, work)
    assert record.far(told(1.5), exact, told(0.5), work, tf32=True)


def test_lif_in_float64_is_the_networks_lif() -> None:
    from snnr import functional as F
    from snnr.tensor import Tensor

    x, dout = (np.asarray(part, np.float64) for part in lif.numbers(lif.Sizes(9, 1, 33)))
    tensor = Tensor(x, requires_grad=True, timesteps=9)
    out = F.spiking(tensor, F.lif_neuron(), None)
    out.backward(dout)
    spikes, dx = lif.exact(x[:, 0], dout[:, 0])
    np.testing.assert_array_equal(out.numpy()[:, 0], spikes)
    assert 0.05 < spikes.mean() < 0.6
    np.testing.assert_allclose(tensor.grad[:, 0], dx, rtol=1e-12, atol=1e-15)


def test_lif_that_is_wrong_is_told() -> None:
    x, dout = (part[:, 0] for part in lif.numbers(lif.Sizes(20, 1, 64)))
    right = lif.exact(x, dout)
    assert lif.wrong(right, right) == []
    assert "spikes" in lif.wrong((1 - right[0], right[1]), right)[0]
    assert "gradient" in lif.wrong((right[0], -right[1]), right)[0]
    assert lif.wrong((right[0], right[1] * np.nan), right)


def test_bytes_that_have_to_move() -> None:
    moved = lif.moved(lif.Sizes(500, 16, 16_384), spike=1)
    assert moved == {"forward": 5 * 131_072_000, "both": 17 * 131_072_000}


def test_snnrs_lif_for_the_benchmark() -> None:
    import lif_snnr

    x, dout = lif.numbers(lif.Sizes(12, 2, 70))
    made = lif_snnr.make("snnr", x, dout, "cpu")
    part = np.s_[:, 0, : lif.CHECKED]
    assert lif.wrong(made.results(), lif.exact(x[part], dout[part])) == []


class Event:
    now = 0.0

    def record(self) -> None:
        Event.now += 0.002
        self.at = Event.now

    def elapsed_time(self, later: "Event") -> float:
        return later.at - self.at


class Machine:
    """Stands for a card."""

    limits = "those of the machine"

    def __init__(self) -> None:
        self.ran: list[str] = []

    def run(self, kernel: Any, grid: Any, block: Any, arguments: tuple[Any, ...]) -> None:
        self.ran.append(kernel.name)

    def record(self, work: Any) -> Any:
        return lambda: self.ran.append("graph")


class Kernel:
    def __init__(self, name: str) -> None:
        self.name = name


class Library:
    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def gemm(self, a: Any, b: Any, out: Any, tf32: bool = False) -> None:
        self.machine.ran.append(f"gemm {tf32}")


def test_launches_are_counted_while_it_is_asked_for() -> None:
    machine = Machine()
    watched = launches.Watched(machine, Event)
    library = Library(machine)
    watched.listen_to(library)
    one, two = Kernel("one"), Kernel("two")
    machine.run(one, 1, 1, ())
    watched.noting = True
    for kernel in (two, one, two):
        machine.run(kernel, 1, 1, ())
    library.gemm(None, None, np.zeros((3, 5)), tf32=True)
    watched.noting = False
    machine.run(one, 1, 1, ())
    assert machine.ran == ["one", "two", "one", "two", "gemm True", "one"]
    (first, count, taken), (second, once, less), (third, *_) = watched.by_kernel()
    assert (first, count, second, once, third) == ("two", 2, "cuBLAS 3x5", 1, "one")
    assert (taken, less) == (pytest.approx(4.0), pytest.approx(2.0))


def test_replays_are_timed() -> None:
    machine = Machine()
    watched = launches.Watched(machine, None)
    replay = machine.record(lambda: None)
    replay()
    replay()
    assert machine.ran == ["graph", "graph"]
    assert (watched.recordings, len(watched.replays)) == (1, 2)
    watched.noting = True
    machine.run(Kernel("k"), 1, 1, ())
    assert watched.by_kernel() == [("k", 1, None)]
