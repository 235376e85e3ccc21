"""The ways of products on CUDA that a choice keeps from the common tests, each on its own, in the
simulator: larger tiles, places of 64 bits, walks over spikes, halves on the tensor cores."""

import numpy as np
import pytest

from snnr.kernels.operations import Hints

from .harness import SIMULATED, compare, normal, spikes

pytest.importorskip("numba_cuda", reason="needs numba-cuda")
if not SIMULATED:
    pytest.skip("of the simulator: a card chooses these by itself", allow_module_level=True)

from snnr.kernels.cuda import blas, memory, ways
from snnr.kernels.cuda.linear import choose
from snnr.kernels.cuda.parts import products, tiles

from .standin import StandIn


@pytest.mark.parametrize(
    ("tile", "shape", "dtype"),
    [
        (tiles.BIG, (3, 9, 130), "f4"), (tiles.MIDDLE, (66, 5, 3), "f4"),
        (tiles.NARROW, (3, 9, 17), "f4"), (tiles.SHORT, (17, 10, 3), "f4"),
        (tiles.DOUBLE, (3, 9, 65), "f8"),
    ],
)  # fmt: skip
def test_tiles_of_a_card(kernels, monkeypatch, tile, shape, dtype):
    """Every thread's piece of one: more than a block where the shape says so, two slices."""
    monkeypatch.setattr(tiles, "_tile", lambda *_: tile)
    (m, k, o) = shape
    generator = np.random.default_rng(0)
    x, w = spikes(generator, (m, k), 0.4), normal(generator, (k, o), dtype)
    w[k // 2, o // 2] = np.inf
    out = np.empty((m, o), dtype)
    compare(kernels, "linear", ("out",), x=x, w=w, bias=normal(generator, (o,), dtype), out=out)


def test_places_of_64_bits(kernels, monkeypatch):
    monkeypatch.setattr(products, "NEAR", 0)
    generator = np.random.default_rng(1)
    x, w = normal(generator, (1, 5, 4, 2)), normal(generator, (2, 3, 2, 3))
    common = {"stride": (2, 1), "padding": (0, 1)}
    dy = normal(generator, (1, 2, 4, 3))
    out, dx, dw = (np.empty_like(a) for a in (dy, x, w))
    compare(kernels, "conv2d", ("out",), x=x, w=w, bias=None, out=out, **common)
    compare(kernels, "conv2d_input_grad", ("dx",), dy=dy, w=w, dx=dx, **common)
    compare(kernels, "conv2d_weight_grad", ("dw",), x=x, dy=dy, dw=dw, **common)
    a, b = normal(generator, (3, 9)), normal(generator, (9, 2))
    compare(kernels, "matmul", ("out",), a=a, b=b, out=np.empty((3, 2), np.float32))


def test_added_to_what_is_there():
    generator = np.random.default_rng(2)
    for k in (5, 40):  # in one part and in several
        a, b, before = (normal(generator, s) for s in ((k, 3), (2, k), (3, 2)))
        out = memory.copy_in(before)
        products.gemm(memory.copy_in(a), memory.copy_in(b), out, True, True, 0.5, -2.0)
        np.testing.assert_allclose(
            memory.copy_out(out), 0.5 * a.T @ b.T - 2 * before, rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("shape", [(2, 150, 9), (3, 7, 2), (1, 0, 3), (0, 4, 3), (2, 4, 0)])
@pytest.mark.parametrize("way", [ways.DENSE, ways.SPIKES])
def test_spikes_are_counted_and_walked(kernels, way, shape):
    (m, k, o) = shape
    generator = np.random.default_rng(3)
    x, w, bias = spikes(generator, (m, k), 0.1), normal(generator, (k, o)), normal(generator, (o,))
    if w.size and m:
        w[k // 2], x[:, k // 2] = np.nan, 0
        w[0, 0], x[0, 0] = np.inf, 1
    kept = {ways.WAY: way}
    hints = Hints(weight=kept)
    out = np.empty((m, o), np.float32)
    for shift in (bias, None):
        given = {"x": x, "w": w, "bias": shift, "scale": 0.5}
        compare(kernels, "linear", ("out",), out=out, hints=hints, floor=1.0, **given)
    counted = memory.copy_out(kept[ways.COUNT])
    if o:
        # the reference was given the same hints and counts nothing
        np.testing.assert_array_equal(counted, [2 * x.sum(), 2 * x.size])


def test_the_way_is_reconsidered_between_steps():
    generator = np.random.default_rng(4)
    kept = {}
    assert not memory.reconsider(kept)
    w, out = memory.copy_in(normal(generator, (30, 2))), memory.empty((4, 2))

    def step(density):
        x = np.zeros((4, 30), np.uint8)
        x.reshape(-1)[: round(density * x.size)] = 1
        choose.linear(memory.copy_in(x), w, None, out, hints=Hints(weight=kept))

    step(0.5)
    assert not memory.reconsider(kept)
    step(0.02)
    assert ways.way(kept) == ways.DENSE  # never within a step
    assert memory.reconsider(kept)
    assert ways.way(kept) == ways.SPIKES
    assert not memory.reconsider(kept)  # nothing was counted since
    step(0.05)
    assert not memory.reconsider(kept)  # on the border it stays
    step(0.5)
    assert memory.reconsider(kept)
    assert ways.way(kept) == ways.DENSE


def test_a_recorded_step_counts_whenever_it_runs():
    kept = {}
    x = memory.copy_in(np.eye(3, dtype=np.uint8))
    w, out = memory.copy_in(np.ones((3, 2), np.float32)), memory.empty((3, 2))
    choose.linear(x, w, None, out, hints=Hints(weight=kept))
    replay = memory.record(lambda: choose.linear(x, w, None, out, hints=Hints(weight=kept)))
    for _ in range(2):
        replay()
    np.testing.assert_array_equal(memory.copy_out(kept[ways.COUNT]), [9, 27])
    np.testing.assert_array_equal(memory.copy_out(out), np.ones((3, 2)))


@pytest.mark.parametrize("said", ["0", "split"])
def test_products_by_the_library(kernels, monkeypatch, said):
    """In float32, or in two halves, within the tolerance of everything else; a spike that is absent
    passes over weights that are not finite there too."""
    monkeypatch.setenv("SNNR_CUDA_TF32", said)
    monkeypatch.setattr(blas, "LARGE", 1)
    monkeypatch.setattr(blas, "LARGE_SPIKES", 1)
    library = StandIn()
    made = blas.Blas(library)
    for module in (choose, products):
        monkeypatch.setattr(module, "blas", lambda: made)
    generator = np.random.default_rng(5)
    (m, k, o) = (6, 9, 5)
    floats, binary = normal(generator, (m, k)), spikes(generator, (m, k), 0.3)
    w, bias, dy = normal(generator, (k, o)), normal(generator, (o,)), normal(generator, (m, o))
    out, dx, dw = (np.empty(s, np.float32) for s in ((m, o), (m, k), (k, o)))
    dy[2, 3] = np.nan
    hints = Hints(needed=spikes(generator, (m // 2, k), 0.5))
    given = {"dy": dy, "w": w, "dx": dx, "scale": 0.5}
    compare(kernels, "linear_input_grad", ("dx",), hints=hints, **given)
    dy[2, 3] = 1
    compare(kernels, "matmul", ("out",), a=floats, b=w, out=out)
    odd = w.copy()
    odd[2, 1], odd[4, 0] = np.inf, np.nan
    binary[:3, 2] = binary[3:, 4] = 0
    kept = {}
    for x in (floats, binary):
        for shift in (None, bias):
            given = {"x": x, "w": odd if x is binary else w, "bias": shift, "scale": 0.5}
            compare(kernels, "linear", ("out",), out=out, hints=Hints(weight=kept), **given)
        compare(kernels, "linear_weight_grad", ("dw",), x=x, dy=dy, dw=dw, scale=0.5)
    np.testing.assert_array_equal(
        memory.copy_out(kept[ways.COUNT]), [2 * binary.sum(), 2 * binary.size]
    )
    assert ("cublasGemmEx" in library.calls) == (said == "split")
