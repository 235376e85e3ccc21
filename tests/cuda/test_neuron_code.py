"""What the kernels of neurons and BatchNorm are made of, for cards that are not here."""

import re

import numpy as np
import pytest

pytest.importorskip("numba_cuda", reason="needs numba-cuda")

from snnr.kernels import rules
from snnr.kernels.cuda import OPERATIONS, device, memory
from snnr.kernels.rules import Neuron

from ..kernels.harness import SIMULATED
from .compile import TARGETS, assemble, find_ptxas, ptx
from .paper import Launched, Paper

pytestmark = pytest.mark.skipif(SIMULATED, reason="the simulator compiles nothing")
PTXAS = find_ptxas()
PAPER = rules.lif_neuron()
#: time steps, rows, channels: the largest layers of the three networks, and a long recording
SIZES = {
    "mnist_fc": (8, 128, 800), "csnn": (4, 128 * 28 * 28, 32), "cifar10_conv": (8, 16 * 1024, 256),
    "long": (500, 16, 16384),
}  # fmt: skip


@pytest.fixture
def paper():
    machine = Paper()
    device.use(machine)
    yield machine
    device.use(None)


def run_lif(neuron: Neuron, sizes: tuple[int, int, int], static: bool, normed: bool) -> None:
    steps, rows, channels = sizes
    x = memory.empty((1 if static else steps, rows, channels))
    gain, offset, *sums = (memory.empty(channels) if normed else None for _ in range(4))
    out = memory.empty(sizes, np.uint8)
    OPERATIONS["lif"](x, gain, offset, neuron, None, out)
    dout, dz = memory.empty(sizes), memory.empty(x.shape)
    OPERATIONS["lif_grad"](x, gain, offset, neuron, None, dout, dz, *sums)


def run_pool(steps: int, channels: int) -> None:
    x, small = memory.empty((steps, 16, 32, 32, channels)), (steps, 16, 16, 16, channels)
    out, index = memory.empty(small, np.uint8), memory.empty(small, np.uint8)
    gain, offset, sum_dz, sum_dzx = (memory.empty(channels) for _ in range(4))
    OPERATIONS["lif_pool"](x, gain, offset, PAPER, out, index)
    OPERATIONS["lif_pool_grad"](
        x, gain, offset, PAPER, index, memory.empty(small), memory.empty(x.shape), sum_dz, sum_dzx
    )


def run_norm() -> None:
    x, y, dx = (memory.empty((8 * 16 * 1024, 256)) for _ in range(3))
    c = [memory.empty(256) for _ in range(7)]
    OPERATIONS["batch_norm_stats"](x, *c[:2])
    OPERATIONS["batch_norm"](x, *c[:2], y)
    OPERATIONS["batch_norm_grad"](x, y, *c[:5], dx)
    OPERATIONS["batch_norm_eval_grad"](x, y, *c[:5], dx)
    OPERATIONS["norm_lif_input_grad"](x, y, *c)
    OPERATIONS["norm_lif_eval_grad"](y, *c)


def code(launched: Launched, target: tuple[int, int] = TARGETS[-1]) -> str:
    """What is compiled, which fits into registers."""
    text = ptx(launched, target)
    assert ".local" not in text, launched.kernel
    if PTXAS is not None:
        assert assemble(text, target, PTXAS).spilled == 0, launched.kernel
    return text


def named(paper: Paper, name: str) -> Launched:
    (found,) = [one for one in paper.launched if one.kernel.name.endswith(f".{name}")]
    return found


def count(pattern: str, text: str) -> int:
    return len(re.findall(pattern, text))


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("normed", [False, True])
@pytest.mark.parametrize("name", SIZES)
def test_neurons_stay_in_registers(paper, name, normed, static):
    run_lif(PAPER, SIZES[name], static, normed)
    forward = code(named(paper, "lif"))
    # floats in fours, spikes as words, and no double
    assert count(r"ld\.global\.v4\.f32", forward) == count(r"ld\.global", forward) > 0
    assert count(r"st\.global\.u32", forward) == count(r"st\.global", forward) > 0
    assert ".f64" not in forward
    back = code(named(paper, "lif_grad"))
    assert (".f64" in back) == normed  # sums between runs, and nothing else
    assert "div.rn.f64" not in back
    assert "mul.f64" not in back


def test_loads_of_a_chunk_are_on_their_way_together(paper):
    """Between the first and the last load of ten time steps nothing waits for one of them."""
    run_lif(PAPER, SIZES["long"], False, False)
    lines = code(named(paper, "lif")).splitlines()
    places = [i for i, line in enumerate(lines) if "ld.global.v4" in line]
    assert len(places) == 10
    between = "\n".join(lines[places[0] : places[-1]])
    assert not re.search(r"\b(fma|mul|add|setp\.\w+)\.(rn\.)?f32|\bbra\b", between)


@pytest.mark.parametrize("steps", [4, 8, 16])
def test_pooled_neurons_stay_in_registers(paper, steps):
    run_pool(steps, 128)
    forward = code(named(paper, "lif_pool"))
    assert count(r"ld\.global\.v4\.f32", forward) == count(r"ld\.global", forward) > 0
    assert count(r"st\.global\.u32", forward) == count(r"st\.global", forward) > 0
    code(named(paper, "lif_grad"))


@pytest.mark.parametrize("target", TARGETS)
def test_normalisation_stays_in_registers(paper, target):
    run_norm()
    for launched in paper.launched:
        code(launched, target)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("surrogate", range(6))
def test_every_kind_stays_in_registers(paper, surrogate, target):
    for reset in (0.0, None):
        for detached in (True, False):
            kind = rules.lif_neuron(v_reset=reset, detach_reset=detached, surrogate=surrogate)
            run_lif(kind, SIZES["mnist_fc"], False, True)
    for launched in paper.launched:
        code(launched, target)
