"""Races: blocks of a grid and threads of a block in another order give the same bits.

The simulator runs one block after the other and starts the threads of a block one by one. Here both
orders are shuffled, and threads change places often. What one block reads of another's writes
within a launch, or one thread of another's without a barrier, then comes out otherwise. Memory is
new for every run, so that nothing is found that an earlier run has left.
"""

import inspect
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnr.kernels import rules
from snnr.kernels.backend import OPERATIONS as NAMES
from snnr.kernels.operations import Hints

from ..kernels.conftest import host_operations
from ..kernels.harness import SIMULATED, normal, poisoned, pruned, spikes

pytest.importorskip("numba_cuda", reason="needs numba-cuda")

from snnr.kernels.cuda import OPERATIONS, device, memory
from snnr.kernels.cuda.device import cuda, launch

simulator = pytest.mark.skipif(not SIMULATED, reason="runs within the simulator's process")

Arguments = dict[str, Any]
Build = Callable[[np.random.Generator], Arguments]
SEEDS = (1, 2, 3)

f4, u1 = np.float32, np.uint8


def empty(*shape: int, dtype: Any = f4) -> np.ndarray:
    """An output."""
    return poisoned(np.empty(shape, dtype))


def counts(*sizes: int) -> np.ndarray:
    return np.zeros(sizes, np.int64)


def optimizing(rng: np.random.Generator) -> Arguments:
    """Everything that any optimizer's step takes; it picks by name."""
    w = pruned(rng, (7, 19), 0.6, f4)
    return {
        "w": w, "theta": normal(rng, (7, 19)),
        "sign": np.where(spikes(rng, (7, 19), 0.5), 1, -1).astype(np.int8),
        "g": normal(rng, (7, 19)), "m": normal(rng, (7, 19)),
        "v": np.square(normal(rng, (7, 19))), "key": 5, "step_size": 0.1, "lr": 0.1, "prior": 0.2,
        "mu": -0.1, "beta1": 0.9, "beta2": 0.99, "inv_sqrt_c2": 1.5, "eps": 1e-8,
        "counts": np.array([np.count_nonzero(w), 0, 0]), "keep": 31, "total": 120, "d": 0.3,
        "l1": 0.2, "temperature": 0.5, "lowest": -1.0, "lost": 0.0,
        "values": normal(rng, (7, 19)), "level": 0, "prefix": 0,
        "bins": empty(1 << 16, dtype=np.int64), "row": 0,
        "rates": np.array([[0.1, 1.5, 0.2, 0.1]]),
    }  # fmt: skip


def norming(rng: np.random.Generator, rows: int = 67, columns: int = 3) -> Arguments:
    """Everything that any operation of BatchNorm takes."""
    c = (columns,)
    return {
        "x": normal(rng, (rows, columns)), "dy": normal(rng, (rows, columns)),
        "dz": normal(rng, (rows, columns)), "mean": normal(rng, c),
        "inv_std": 1 + rng.random(c, f4), "scale": normal(rng, c), "gain": normal(rng, c),
        "sum_dz": normal(rng, c),
        "sum_dzx": normal(rng, c), "var": rng.random(c, f4), "dscale": empty(columns),
        "dshift": empty(columns), "dx": empty(rows, columns), "rows": rows, "momentum": 0.1,
        "running_mean": normal(rng, c), "running_var": rng.random(c, f4), "shift": normal(rng, c),
        "eps": 1e-5, "offset": normal(rng, c), "out": empty(rows, columns),
    }  # fmt: skip


def neurons(rng: np.random.Generator, steps: int, channels: int, static: bool) -> Arguments:
    """Everything that `lif` and its gradient take."""
    rows = 11
    lead = 1 if static else steps
    return {
        "x": normal(rng, (lead, rows, channels)), "gain": normal(rng, (channels,)),
        "offset": normal(rng, (channels,)), "neuron": rules.lif_neuron(), "held": None,
        "dout": normal(rng, (steps, rows, channels)), "dz": empty(lead, rows, channels),
        "sum_dz": empty(channels), "sum_dzx": empty(channels),
        "start": normal(rng, (rows, channels)), "out": empty(steps, rows, channels, dtype=u1),
        "end": empty(rows, channels), "out_v": empty(steps, rows, channels),
    }  # fmt: skip


def pooling(rng: np.random.Generator, channels: int) -> Arguments:
    """Everything that `lif_pool` and its gradient take."""
    small = (2, 2, 2, 1, channels)
    return {
        "x": normal(rng, (2, 2, 5, 3, channels)), "gain": normal(rng, (channels,)),
        "offset": normal(rng, (channels,)), "neuron": rules.lif_neuron(),
        "out": empty(*small, dtype=u1), "dout": normal(rng, small),
        "index": rng.integers(0, 4, small, u1), "dz": empty(2, 2, 5, 3, channels),
        "sum_dz": empty(channels), "sum_dzx": empty(channels),
    }  # fmt: skip


def windows(rng: np.random.Generator, x: np.ndarray, size: int, stride: int) -> Arguments:
    """Everything that pooling takes."""
    n, height, width, channels = x.shape
    small = (n, (height - size) // stride + 1, (width - size) // stride + 1, channels)
    return {
        "x": x, "size": size, "stride": stride, "dy": normal(rng, small),
        "out": empty(*small, dtype=x.dtype), "index": rng.integers(0, size * size, small, u1),
        "dx": empty(*x.shape),
    }  # fmt: skip


def layer(rng: np.random.Generator, x: np.ndarray, kept: bool, needed: bool) -> Arguments:
    """Everything that a dense layer takes; `kept`: things may be kept with the weight."""
    rows, k, o = len(x), x.shape[1], 19
    hints = Hints(connectivity=0.4, weight={} if kept else None)
    if needed:
        hints.needed = spikes(rng, (rows, k), 0.5)
    return {
        "x": x, "w": pruned(rng, (k, o), 0.4, f4), "bias": normal(rng, (o,)), "out": empty(rows, o),
        "dy": normal(rng, (rows, o)), "dx": empty(rows, k), "dw": empty(k, o), "db": empty(o),
        "scale": 1.5, "hints": hints, "a": normal(rng, (rows, k)), "b": normal(rng, (k, o)),
    }  # fmt: skip


def convolution(rng: np.random.Generator, x: np.ndarray, kept: bool) -> Arguments:
    """Everything that a convolution takes."""
    n, height, width, c = x.shape
    after = (n, (height - 1) // 2 + 1, (width - 1) // 2 + 1, 5)
    return {
        "x": x, "w": pruned(rng, (3, 3, c, 5), 0.5, f4), "bias": normal(rng, (5,)),
        "stride": (2, 2), "padding": (1, 1), "out": empty(*after), "dy": normal(rng, after),
        "dx": empty(*x.shape), "dw": empty(3, 3, c, 5),
        "hints": Hints(connectivity=0.5, weight={} if kept else None),
    }  # fmt: skip


def scored(rng: np.random.Generator) -> Arguments:
    """Everything that losses and questions take."""
    logits = normal(rng, (37, 4))
    share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = rng.integers(0, 4, 37)
    return {
        "x": logits, "target": normal(rng, (37, 4)), "difference": empty(37, 4), "out": empty(),
        "labels": labels, "probability": share, "grad": np.array(0.5, f4), "dx": empty(37, 4),
        "rate": np.round(logits), "count": counts(1), "flag": np.ones(1, u1),
    }  # fmt: skip


#: of several launches, with a reduction, or where threads share what they write or read
CALLS: list[tuple[str, str, Build]] = [
    ("total", "", lambda rng: {"x": normal(rng, (331,)), "out": empty()}),
    ("mean_time", "", lambda rng: {"x": normal(rng, (3, 41)), "out": empty(41)}),
    ("voting", "", lambda rng: {"x": normal(rng, (5, 12)), "group": 3, "out": empty(5, 4)}),
    ("reorder", "tiles", lambda rng: {
        "x": normal(rng, (2, 9, 17)), "axes": (0, 2, 1), "out": empty(2, 17, 9),
    }),
    *(("sum_axes", str(kept), lambda rng, kept=kept: {
        "x": normal(rng, (3, 7, 5)), "out": empty(*kept),
    }) for kept in ((1, 1, 1), (3, 1, 5))),
    ("window_grad", "", lambda rng: {
        "dy": normal(rng, (2, 4)), "first": (0, 6), "step": (2, -2), "dx": empty(4, 7),
    }),
    ("grouped_conv2d_weight_grad", "", lambda rng: {
        "x": spikes(rng, (2, 5, 4, 6), 0.5), "dy": normal(rng, (2, 5, 4, 3)), "stride": (1, 1),
        "padding": (1, 1), "groups": 3, "dw": empty(3, 3, 2, 3),
    }),
    ("dropout_mask", "", lambda rng: {
        "key": 3, "counter": np.array([7], np.uint64), "p": 0.4, "out": empty(203, dtype=u1),
    }),
    ("matmul", "", lambda rng: layer(rng, normal(rng, (9, 37)), False, False)),
    *((name, f"{what}{', kept' if kept else ''}", lambda rng, what=what, kept=kept: layer(
        rng, normal(rng, (9, 37)) if what == "float" else spikes(rng, (9, 37), 0.3), kept, False,
    )) for name in ("linear", "linear_weight_grad") for what in ("float", "spikes")
      for kept in (False, True)),
    *(("linear_input_grad", "needed" if needed else "", lambda rng, needed=needed: layer(
        rng, normal(rng, (9, 37)), needed, needed)) for needed in (False, True)),
    ("bias_grad", "", lambda rng: layer(rng, normal(rng, (131, 3)), False, False)),
    *((name, f"{what}{', kept' if kept else ''}", lambda rng, what=what, kept=kept: convolution(
        rng,
        normal(rng, (2, 5, 4, 3)) if what == "float" else spikes(rng, (2, 5, 4, 3), 0.3), kept,
    )) for name in ("conv2d", "conv2d_weight_grad") for what in ("float", "spikes")
      for kept in (False, True)),
    ("conv2d_input_grad", "", lambda rng: convolution(rng, normal(rng, (2, 5, 4, 3)), True)),
    *((name, "", norming) for name in (
        "batch_norm_stats", "batch_norm_grad", "batch_norm_eval_grad", "norm_lif_input_grad",
        "norm_lif_eval_grad", "batch_norm", "fold_norm", "update_running",
    )),
    ("batch_norm_stats", "wide", lambda rng: norming(rng, 9, 37)),
    *((name, f"T={steps}, C={channels}{', static' if static else ''}",
       lambda rng, steps=steps, channels=channels, static=static: neurons(
           rng, steps, channels, static))
      for name in ("lif", "lif_grad") for steps, channels in ((3, 5), (18, 4))
      for static in (False, True)),
    ("lif_potential", "", lambda rng: neurons(rng, 3, 5, False)),
    *((name, f"C={channels}", lambda rng, channels=channels: pooling(rng, channels))
      for name in ("lif_pool", "lif_pool_grad") for channels in (3, 4)),
    *((name, f"{size}, {stride}", lambda rng, size=size, stride=stride: windows(
        rng, normal(rng, (2, 6, 5, 3)), size, stride,
    )) for name in ("max_pool", "max_pool_grad", "avg_pool", "avg_pool_grad")
      for size, stride in ((2, 2), (3, 1))),
    *((name, "", scored) for name in (
        "mse", "mse_grad", "cross_entropy", "cross_entropy_grad", "count_correct", "all_finite",
    )),
    ("all_finite", "not", lambda rng: {
        "x": np.where(spikes(rng, (331,), 0.01), np.inf, normal(rng, (331,))).astype(f4),
        "flag": np.ones(1, u1),
    }),
    ("count_spikes", "", lambda rng: {"spikes": spikes(rng, (37, 5), 0.4), "count": counts(5)}),
    ("count_present", "", lambda rng: {
        "x": pruned(rng, (2, 37, 5), 0.4, f4), "count": counts(2, 5), "graded": np.zeros(2, u1),
    }),
    ("count_nonzero", "", lambda rng: {"x": pruned(rng, (331,), 0.4, f4), "count": counts(1)}),
    *((name, "", optimizing) for name in (
        "adam_step", "grad_r_start", "grad_r_believe", "grad_r_step", "grad_r_sgd_step",
        "masked_adam_step", "forget_absent", "keep_largest", "grow_random", "grow_largest",
        "deep_r_believe", "deep_r_step", "soft_deep_r_step", "stds_believe", "stds_step",
        "replace_connected", "count_magnitudes",
    )),
]  # fmt: skip

#: one launch of threads that write what is theirs alone and read what nobody writes
APART = {
    "accumulate", "add", "multiply", "scale", "spread", "mean_time_grad", "voting_grad",
    "mask_time", "one_hot", "normalise", "random_affine", "crop_flip", "keep_survivors",
    "subtract", "divide", "power", "stretch", "window", "grouped_conv2d",
    "grouped_conv2d_input_grad",
}  # fmt: skip
#: of the machine's memory, and what launches nothing
VERBS = {
    "empty", "zeros", "copy_in", "copy_out", "write", "copy", "fill", "record", "reconsider",
    "packed_gradient",
}  # fmt: skip


def test_every_operation_is_run_in_another_order_or_told_to_be_apart() -> None:
    called = {name for name, _, _ in CALLS}
    assert not called & APART
    assert called | APART == set(NAMES) - VERBS


def in_the_simulator(*selection: str) -> None:
    """The other tests of this file, in a process of their own."""
    if SIMULATED:
        pytest.skip("this is that process")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--numprocesses=0",
         __file__, *selection],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


def test_some_in_the_simulator() -> None:
    """A sum in two stages, a product in parts, sums beside a backward pass."""
    in_the_simulator("-k", "total or bias_grad or norm_stats or linear_weight_grad")


@pytest.mark.slow
def test_all_in_the_simulator() -> None:
    in_the_simulator()


class Shuffled:
    """NumPy for the simulator, whose grids and blocks are walked through in another order."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def ndindex(self, *shape: int) -> list[tuple[int, ...]]:
        points = list(np.ndindex(*shape))
        self._random.shuffle(points)
        return points


_sharing = threading.Lock()


def _shared_array(self: Any, shape: Any, dtype: Any, alignment: Any = None) -> Any:
    """The simulator's `shared.array`, whose look-up and entry are not one step: two threads that
    come at once each get an array of their own, and the kernel looks as if it raced."""
    from numba.cuda import types
    from numba.cuda.np import numpy_support

    caller = sys._getframe(1)
    place = caller.f_code.co_filename, caller.f_lineno
    with _sharing:
        if place not in self._allocations:
            kind = numpy_support.as_dtype(dtype) if isinstance(dtype, types.Type) else dtype
            self._allocations[place] = np.empty(shape, kind)
        return self._allocations[place]


@contextmanager
def shuffled(seed: int | None) -> Iterator[None]:
    """Blocks, and the threads of each, start in an order of this seed (None: as always); memory is
    new in any case."""
    from numba.cuda.simulator import kernel
    from numba.cuda.simulator.kernelapi import FakeCUDAShared

    device.use(device.Simulator())  # and with it an empty pool
    interval, plain, array = sys.getswitchinterval(), kernel.np, FakeCUDAShared.array
    FakeCUDAShared.array = _shared_array
    if seed is not None:
        kernel.np = Shuffled(seed)
        sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        kernel.np = plain
        FakeCUDAShared.array = array
        sys.setswitchinterval(interval)
        device.use(None)


def bits(name: str, build: Build, seed: int | None) -> dict[str, bytes]:
    """Every array after a call."""
    offered = build(np.random.default_rng(0))
    wanted = inspect.signature(OPERATIONS[name]).parameters
    taken = {k: v for k, v in offered.items() if k in wanted}
    with shuffled(seed):
        host_operations("cuda")[name](**taken)
    return {k: v.tobytes() for k, v in taken.items() if isinstance(v, np.ndarray)}


@simulator
@pytest.mark.parametrize(
    ("name", "build"),
    [
        pytest.param(name, build, id=f"{name} {what}".strip())
        for name, what, build in CALLS
        if name in OPERATIONS
    ],
)
def test_the_order_of_blocks_and_threads_does_not_matter(name: str, build: Build) -> None:
    expected = bits(name, build, None)
    for seed in SEEDS:
        found = bits(name, build, seed)
        assert [k for k in expected if found[k] != expected[k]] == [], f"{name}, seed {seed}"


def unguarded(out: Any) -> None:
    """A barrier is missing."""
    shared = cuda.shared.array(8, np.float32)
    shared[cuda.threadIdx.x] = 1 + cuda.threadIdx.x
    out[cuda.grid(1)] = shared[7 - cuda.threadIdx.x]


def rounding(out: Any) -> None:
    """A sum in the order of blocks."""
    if cuda.threadIdx.x == 0:
        out[0] += np.float32(1) / np.float32(1 + cuda.blockIdx.x)


@simulator
@pytest.mark.parametrize("mistaken", [unguarded, rounding])
def test_a_race_is_found(mistaken: Callable[..., None]) -> None:
    racy = device.Kernel(mistaken)
    device.KERNELS.remove(racy)  # none of the backend's
    found = set()
    for seed in (None, *SEEDS):
        with shuffled(seed):
            out = memory.zeros(200)
            launch(racy, 25, 8, out.array)
            found.add(memory.copy_out(out).tobytes())
    assert len(found) > 1
