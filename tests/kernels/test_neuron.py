"""Neuron kernels against the reference and against SpikingJelly's recorded sequences."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from snnr.kernels import rules

from .harness import compare, normal, sized
from .neurons import KINDS, SMOOTH, exact_input, held_reset, safe_input

FIXTURE = Path(__file__).parents[1] / "fixtures" / "lif_sequences.h5"
# time steps, rows, channels
SHAPES = sized(
    [(1, 1, 1), (4, 5, 3), (8, 3, 17), (3, 33, 33), (2, 7, 64), (5, 2, 130)],
    [(1, 1, 1), (5, 3, 3)],
)
# of spikes that the backward pass sees in one go, in several, and four neighbours at a time
LENGTHS = sized([(16, 3, 4), (17, 3, 4), (37, 2, 12)], [(17, 2, 4)])


def run_both(kernels, neuron, shape, static, held=None, dtype=np.float32, seed=0):
    """Forward and backward of one neuron on one shape."""
    generator = np.random.default_rng(seed)
    (steps, rows, channels) = shape
    x, gain, offset = safe_input(
        generator, neuron, (1 if static else steps, rows, channels), steps, dtype
    )
    common = {"x": x, "gain": gain, "offset": offset, "neuron": neuron, "held": held}
    out = np.empty(shape, dtype if neuron.smooth else np.uint8)
    compare(kernels, "lif", ("out",), out=out, floor=1.0, **common)
    compare(
        kernels,
        "lif_grad",
        ("dz", "sum_dz", "sum_dzx"),
        floor=1.0,
        dout=normal(generator, shape, dtype),
        dz=np.empty_like(x),
        sum_dz=np.empty(channels, dtype),
        sum_dzx=np.empty(channels, dtype),
        **common,
    )


@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_lif(kernels, kind, shape, static):
    run_both(kernels, KINDS[kind], shape, static)


@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize("kind", ["paper", "soft, not detached"])
@pytest.mark.parametrize("shape", LENGTHS)
def test_long_sequences(kernels, shape, kind, static):
    run_both(kernels, KINDS[kind], shape, static)


@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("kind", SMOOTH)
def test_smooth_lif(kernels, kind, held, static):
    shape = sized([(5, 3, 17)], [(3, 2, 5)])[0]
    mask = held_reset(np.random.default_rng(1), shape) if held else None
    run_both(kernels, SMOOTH[kind], shape, static, mask)


@pytest.mark.slow
def test_float64(kernels):
    shape, nothing = (4, 5, 3), None
    held = held_reset(np.random.default_rng(1), shape, np.float64)
    for static in (True, False):
        run_both(kernels, KINDS["not detached"], shape, static, nothing, np.float64)
        run_both(kernels, SMOOTH["soft, not detached"], shape, static, nothing, np.float64)
        run_both(kernels, SMOOTH["not detached"], shape, static, held, np.float64)


@pytest.mark.parametrize("tied", sized([0, 1], [0]))
@pytest.mark.parametrize("kind", ["paper", "soft, not detached", "not detached", "if, soft"])
def test_ties_at_the_threshold_fire(kernels, kind, tied):
    """Inputs on a binary grid: h is exact and often equals v_threshold."""
    shape = sized([(4, 40, 17), (4, 10, 16)], [(4, 3, 8)])[tied]
    generator = np.random.default_rng(2)
    x, gain, offset = exact_input(generator, shape)
    common = {"x": x, "gain": gain, "offset": offset, "neuron": KINDS[kind]}
    out = np.empty(shape, np.uint8)
    compare(kernels, "lif", ("out",), out=out, held=None, **common)


def test_half_the_threshold_fires_every_second_step(every_kernels):
    x = np.full((1, 1, 3), 0.5, np.float32)
    out = np.empty((4, 1, 3), np.uint8)
    start = (x, np.ones(3, "f4"), np.zeros(3, "f4"), rules.if_neuron())
    every_kernels["lif"](*start, None, out)
    assert out[:, 0, 0].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize("kind", ["paper", "soft, not detached"])
@pytest.mark.parametrize("shape", SHAPES)
def test_lif_from_given_potentials(kernels, shape, kind, static, dtype):
    (steps, rows, channels) = shape
    generator = np.random.default_rng(7)
    x = normal(generator, (1 if static else steps, rows, channels), dtype)
    common = {"x": x, "gain": None, "offset": None, "neuron": KINDS[kind]}
    common["start"] = normal(generator, (rows, channels), dtype)
    out, end = np.empty(shape, np.uint8), np.empty((rows, channels), dtype)
    compare(kernels, "lif", ("out", "end"), held=None, out=out, end=end, floor=1.0, **common)
    compare(kernels, "lif_potential", ("out_v",), out_v=np.empty(shape, dtype), floor=1, **common)
    dout, dz = normal(generator, shape, dtype), np.empty_like(x)
    sums = {"sum_dz": None, "sum_dzx": None}
    compare(
        kernels, "lif_grad", ("dz",), held=None, dout=dout, dz=dz, floor=1.0, **sums, **common
    )


def test_a_sequence_in_pieces_is_the_whole(every_kernels):
    """Potentials handed from piece to piece, in place; spikes and gradients as in one go."""
    (_, rows, channels) = shape = sized([(7, 5, 33)], [(7, 2, 5)])[0]
    generator = np.random.default_rng(8)
    x, neuron = normal(generator, shape), KINDS["paper"]
    gain, offset = normal(generator, (2, channels))
    whole, pieces = np.empty((2, *shape), np.uint8)
    every_kernels["lif"](x, gain, offset, neuron, None, whole)
    state = np.zeros((rows, channels), np.float32)
    for part in (slice(0, 3), slice(3, 4), slice(4, 7)):
        every_kernels["lif"](
            x[part], gain, offset, neuron, None, pieces[part], start=state, end=state
        )
    np.testing.assert_array_equal(pieces, whole)
    out_v = np.empty(shape, np.float32)
    every_kernels["lif_potential"](x, gain, offset, neuron, out_v)
    np.testing.assert_array_equal(state, out_v[-1])


def test_nothing_to_do(kernels):
    """No rows: nothing happens, and nothing is read out of bounds."""
    none, wide = np.empty((3, 0, 5), np.float32), np.ones(5, np.float32)
    common = {"x": none, "gain": wide, "offset": wide, "neuron": KINDS["paper"]}
    compare(kernels, "lif", ("out",), out=np.empty((3, 0, 5), np.uint8), held=None, **common)
    compare(
        kernels, "lif_grad", ("dz", "sum_dz", "sum_dzx"), held=None, dout=none, dz=none.copy(),
        sum_dz=wide.copy(), sum_dzx=wide.copy(), **common,
    )  # fmt: skip
    flat = np.ones((2, 1, 1, 4, 5), np.float32)  # an image too low for a window
    small = np.empty((2, 1, 0, 2, 5), np.uint8)
    common["x"] = flat
    compare(kernels, "lif_pool", ("out", "index"), out=small, index=small.copy(), **common)
    compare(
        kernels, "lif_pool_grad", ("dz", "sum_dz", "sum_dzx"), index=small,
        dout=np.empty(small.shape, np.float32), dz=flat.copy(), sum_dz=wide.copy(),
        sum_dzx=wide.copy(), **common,
    )  # fmt: skip


@pytest.mark.parametrize("value", [-100.0, 100.0])
def test_silent_and_saturated(kernels, value):
    shape = (3, 5, 17)
    x = np.full(shape, value, np.float32)
    common = {"gain": np.ones(17, "f4"), "offset": np.zeros(17, "f4"), "neuron": KINDS["paper"]}
    out = np.empty(shape, np.uint8)
    compare(kernels, "lif", ("out",), x=x, held=None, out=out, **common)


@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize("kind", ["paper", "soft", "if"])
def test_lif_potential(kernels, kind, static):
    (steps, rows, channels) = shape = sized([(5, 3, 17)], [(3, 2, 5)])[0]
    x, gain, offset = safe_input(
        np.random.default_rng(3), KINDS[kind], (1 if static else steps, rows, channels), steps
    )
    common = {"x": x, "gain": gain, "offset": offset, "neuron": KINDS[kind]}
    compare(
        kernels, "lif_potential", ("out_v",), out_v=np.empty(shape, np.float32), floor=1, **common
    )


# time steps, batch, height, width, channels
POOLED = sized(
    [
        (1, 1, 2, 2, 1),
        (4, 2, 5, 7, 3),
        (2, 1, 4, 6, 17),
        (8, 3, 3, 2, 33),
        (3, 1, 8, 8, 64),
        (2, 2, 2, 5, 130),
        (18, 1, 3, 3, 4),
    ],
    [(3, 1, 3, 2, 3), (2, 1, 2, 3, 4)],
)


def run_pool(kernels, kind, shape, static, dtype):
    (steps, batch, height, width, channels) = shape
    generator = np.random.default_rng(4)
    x, gain, offset = safe_input(
        generator, KINDS[kind], (1 if static else steps, *shape[1:]), steps, dtype
    )
    common = {"x": x, "gain": gain, "offset": offset, "neuron": KINDS[kind]}
    small = (steps, batch, height // 2, width // 2, channels)
    out, index = np.empty((2, *small), np.uint8)
    done = compare(kernels, "lif_pool", ("out", "index"), out=out, index=index, **common)
    compare(
        kernels,
        "lif_pool_grad",
        ("dz", "sum_dz", "sum_dzx"),
        floor=1.0,
        index=done["index"],
        dout=normal(generator, small, dtype),
        dz=np.empty_like(x),
        sum_dz=np.empty(channels, dtype),
        sum_dzx=np.empty(channels, dtype),
        **common,
    )


@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize("shape", POOLED)
@pytest.mark.parametrize("kind", ["paper", "not detached", "soft", "if, soft", "sigmoid"])
def test_lif_pool(kernels, kind, shape, static):
    run_pool(kernels, kind, shape, static, np.float32)


@pytest.mark.slow
def test_lif_pool_float64(kernels):
    run_pool(kernels, "paper", (4, 2, 5, 7, 3), False, np.float64)


def test_recorded_sequences(every_kernels):
    """36 recorded cases: spikes equal, membrane and input gradient to 1e-12 relative."""
    with h5py.File(FIXTURE) as file:
        assert len(file) == 36
        for case in sized([list(file.values())], [list(file.values())[::5]])[0]:
            a = case.attrs
            neuron = rules.lif_neuron(
                tau=float(a["tau"]),
                v_threshold=float(a["v_threshold"]),
                v_reset=None if a["soft_reset"] else float(a["v_reset"]),
                decay_input=bool(a["decay_input"]),
                detach_reset=bool(a["detach_reset"]),
            )
            x, ds = case["x_seq"][()], case["grad_spike_seq"][()]
            start = (x, np.ones(x.shape[2]), np.zeros(x.shape[2]), neuron)
            out, v, dz = np.empty(x.shape, np.uint8), np.empty_like(x), np.empty_like(x)
            (sum_dz, sum_dzx) = np.empty((2, x.shape[2]))
            every_kernels["lif"](*start, None, out)
            every_kernels["lif_potential"](*start, v)
            every_kernels["lif_grad"](*start, None, ds, dz, sum_dz, sum_dzx)
            np.testing.assert_array_equal(out, case["spike_seq"][()])
            for result, name in ((v, "v_seq"), (dz, "grad_x_seq")):
                recorded = case[name][()]
                limit = 1e-12 * np.max(np.abs(recorded))
                np.testing.assert_allclose(result, recorded, rtol=0, atol=limit)
            np.testing.assert_allclose(sum_dz, dz.sum(axis=(0, 1)), rtol=0, atol=1e-10)
