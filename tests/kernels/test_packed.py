"""Gradients of the surviving weights alone."""

import numpy as np
import pytest

from snnr.kernels.cpu.conv import choose as conv_choose
from snnr.kernels.cpu.conv import sampled as conv
from snnr.kernels.cpu.linear import bits, sampled, survivors
from snnr.kernels.cpu.linear.lists import survivors_for, survivors_of
from snnr.kernels.cpu.packed import pack
from snnr.kernels.operations import Hints
from snnr.kernels.reference import OPERATIONS

from .conftest import operations
from .harness import SIMULATED, normal, poisoned, pruned, same, spikes
from .test_conv import SHAPES as CONVOLUTIONS
from .test_conv import output_shape

#: rows, inputs, outputs
SHAPES = [(1, 1, 1), (64, 16, 32), (70, 130, 33), (1030, 33, 10), (65, 20, 2100), (0, 5, 20),
          (3, 0, 20), (3, 5, 0)]  # fmt: skip
DTYPES = [np.float32, np.float64]

pytestmark = pytest.mark.skipif(SIMULATED, reason="a card makes whole gradients")


def with_empty_lines(w):
    """The same weights, some inputs and outputs of which have no connection at all."""
    w[..., ::3, :] = 0
    w[..., 1::4] = 0
    return w


def whole(name, packed):
    """All of a packed gradient."""
    out = poisoned(np.empty(packed.shape, packed.dtype))
    operations(name)["copy"](packed, out)
    return out


def held_to(w, lists):
    """The lists have the values of w."""
    for row, (start, count) in enumerate(zip(lists.start, lists.count, strict=True)):
        entries = slice(start, start + count)
        np.testing.assert_array_equal(lists.value[entries], w[row, lists.index[entries]])


def expected(operation, w, **arguments):
    """The reference's gradient, zero where the weight is."""
    dw = np.empty_like(w)
    OPERATIONS[operation](**arguments, dw=dw)
    return np.where(w != 0, dw, 0)


@pytest.mark.parametrize("name", ["cpu", "reference"])
@pytest.mark.parametrize("connectivity", [0.0, 0.02, 0.14])
@pytest.mark.parametrize("shape", SHAPES)
def test_linear(name, shape, connectivity):
    (m, k, o) = shape
    generator = np.random.default_rng(0)
    for dtype in DTYPES:
        w = with_empty_lines(pruned(generator, (k, o), connectivity, dtype))
        dy = normal(generator, (m, o), dtype)
        for x in (
            normal(generator, (m, k), dtype),
            np.full((m, k), -0.4, dtype),
            spikes(generator, (m, k), 0.2),
            spikes(generator, (m, k), 0.9),
        ):
            hints = Hints(connectivity=connectivity)
            dw = operations(name)["packed_gradient"](w, hints)
            operations(name)["linear_weight_grad"](x, dy, dw, 0.5, hints)
            want = expected("linear_weight_grad", w, x=x, dy=dy, scale=0.5)
            same("dw", whole(name, dw), want, 1.0)


@pytest.mark.parametrize("cache", [sampled.CACHE, 1])
@pytest.mark.parametrize("shape", SHAPES)
def test_sums_over_the_batch(monkeypatch, shape, cache):
    """All panels of the batch at once, and one after the other."""
    monkeypatch.setattr(sampled, "CACHE", cache)
    (m, k, o) = shape
    generator = np.random.default_rng(1)
    for dtype in DTYPES:
        w = pruned(generator, (k, o), 0.3, dtype)
        lists = survivors_of(w, 0.3)
        dy = normal(generator, (m, o), dtype)
        for x in (normal(generator, (m, k), dtype), spikes(generator, (m, k), 0.3)):
            values = np.zeros(lists.index.shape, dtype)
            given = bits.pack(x)[0] if x.dtype == np.uint8 else survivors.turned(x)
            sampled.weight_grad(given, dy, lists, 2.0, values)
            want = expected("linear_weight_grad", w, x=x, dy=dy, scale=2.0)
            for row, (start, count) in enumerate(zip(lists.start, lists.count, strict=True)):
                index = lists.index[start : start + count]
                same("dw", values[start : start + count], want[row, index], 1.0)


@pytest.mark.parametrize("name", ["cpu", "reference"])
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_conv(name, case):
    (batch, size, ci, co, taps, stride, padding) = case
    generator = np.random.default_rng(2)
    for dtype in DTYPES:
        for connectivity in (0.0, 0.05, 0.14):
            w = pruned(generator, (*taps, ci, co), connectivity, dtype)
            w[..., ::3] = 0
            dy = normal(generator, output_shape(case), dtype)
            shape = (batch, *size, ci)
            for x in (normal(generator, shape, dtype), spikes(generator, shape, 0.2)):
                given = {"x": x, "dy": dy, "stride": stride, "padding": padding}
                hints = Hints(connectivity=connectivity)
                dw = operations(name)["packed_gradient"](w, hints)
                operations(name)["conv2d_weight_grad"](**given, dw=dw, hints=hints)
                want = expected("conv2d_weight_grad", w, **given)
                same("dw", whole(name, dw), want, 1.0)


@pytest.mark.parametrize("batch", [0, 1, 40])
def test_sums_over_images(batch):
    """Fewer and more images than parts of the batch; wide and high kernels."""
    generator = np.random.default_rng(3)
    for taps, padding in (((3, 3), (1, 1)), ((2, 5), (0, 2)), ((1, 1), (0, 0))):
        w = pruned(generator, (*taps, 19, 35), 0.3, np.float32)
        lists = survivors_of(w.reshape(-1, 35), 0.3)
        x = spikes(generator, (batch, 7, 9, 19), 0.2)
        size = [n + 2 * p - k + 1 for n, p, k in zip((7, 9), padding, taps, strict=True)]
        dy = normal(generator, (batch, *size, 35))
        values = poisoned(np.empty(lists.index.shape, np.float32))
        conv.weight_grad(x, dy, lists, taps, padding, values)
        dw = np.zeros_like(w)
        given = {"x": x, "dy": dy, "stride": (1, 1), "padding": padding, "dw": dw}
        OPERATIONS["conv2d_weight_grad"](**given)
        for row, (start, count) in enumerate(zip(lists.start, lists.count, strict=True)):
            index = lists.index[start : start + count]
            got = values[start : start + count]
            same("dw", got, dw.reshape(-1, 35)[row, index], 1.0)


def test_no_thread_count_changes_a_bit(monkeypatch):
    from snnr.kernels.threads import set_threads

    generator = np.random.default_rng(4)
    w = pruned(generator, (3, 3, 20, 24), 0.1, np.float32)
    x, dy = spikes(generator, (33, 9, 9, 20), 0.2), normal(generator, (33, 9, 9, 24))
    found = []
    before = set_threads(None)
    try:
        for threads in (1, min(2, before)):
            set_threads(threads)
            dw = operations("cpu")["packed_gradient"](w, Hints(connectivity=0.1))
            conv_choose.conv2d_weight_grad(x, dy, (1, 1), (1, 1), dw)
            found.append(whole("cpu", dw))
    finally:
        set_threads(before)
    np.testing.assert_array_equal(*found)


def test_an_absent_spike_passes_over_what_is_not_finite():
    generator = np.random.default_rng(5)
    w = pruned(generator, (40, 33), 0.1, np.float32)
    x, dy = spikes(generator, (70, 40), 0.1), normal(generator, (70, 33))
    dy[3], dy[68] = np.nan, np.inf
    dw = operations("cpu")["packed_gradient"](w, Hints(connectivity=0.1))
    for fires in (0, 1):
        x[3] = x[68] = fires
        sampled.weight_grad(bits.pack(x)[0], dy, dw.pattern, 1.0, dw.values)
        assert np.isfinite(whole("cpu", dw)).all() == (not fires)


@pytest.mark.parametrize("name", ["cpu", "reference"])
def test_whether_all_is_finite(name):
    w = pruned(np.random.default_rng(6), (9, 70), 0.12, np.float32)
    packed = operations(name)["packed_gradient"](w, Hints(connectivity=0.12))
    for value, sound in ((1.0, 1), (np.nan, 0)):
        w[:] = np.where(w != 0, value, 0)
        packed.values[...] = 0
        operations(name)["linear_weight_grad"](np.eye(9, dtype=np.float32), w, packed)
        flag = np.ones(1, np.uint8)
        operations(name)["all_finite"](packed, flag)
        assert flag[0] == sound


def test_much_that_survives_is_not_packed():
    w = np.ones((5, 5), np.float32)
    assert operations("cpu")["packed_gradient"](w, Hints(connectivity=1.0)) is None


def test_lists_are_kept_for_one_pattern_and_their_values_for_one_version():
    generator = np.random.default_rng(7)
    w = pruned(generator, (70, 130), 0.1, np.float32)
    kept = {}
    first = survivors_for(w, Hints(connectivity=0.1, weight=kept, version=3, pattern=1))
    w *= 2
    again = survivors_for(w, Hints(connectivity=0.1, weight=kept, version=4, pattern=1))
    assert again is first
    held_to(w, again)
    assert again.finite
    w[w == w.max()] = np.inf
    assert not survivors_for(w, Hints(weight=kept, version=5, pattern=1)).finite
    assert survivors_for(w, Hints(weight=kept, version=5, pattern=2)) is not first


ADAM = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
#: of a step, besides the arrays: what each of the two methods asks for
STEPS = {
    "masked_adam_step": {},
    "deep_r_step": {"l1": 0.5, "temperature": 0.5, "lost": 0.0, "key": 11},
}


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("shape", [(1, 1), (70, 130), (300, 7), (3, 3, 5, 33)])
def test_steps_over_lists(step, shape, packed, known):
    """What is not listed is not looked at; lists of other connections are not used."""
    generator = np.random.default_rng(9)
    for dtype in DTYPES:
        w = pruned(generator, shape, 0.12, dtype)
        g = np.where(w != 0, normal(generator, shape, dtype), 0).astype(dtype)
        m, v = np.where(w != 0, normal(generator, (2, *shape), dtype), np.nan).astype(dtype)
        arrays = {"w": w, "m": m, "v": v * v, "counts": np.array([9, 5, 3])}
        if step == "deep_r_step":
            arrays["sign"] = np.where(w < 0, -1, 1).astype(np.int8)
        rates = np.array([[np.nan] * 4, [0.01, 9.1, 5, 0.2]])
        results = []
        for name in ("cpu", "reference"):
            mine = {key: array.copy() for key, array in arrays.items()}
            kept: dict = {}
            hints = Hints(connectivity=0.12, weight=kept, version=1, pattern=1)
            gradient = g
            if name == "cpu":
                survivors_for(w, hints)
                if packed:
                    gradient = operations(name)["packed_gradient"](w, hints)
                    gradient.values[:] = 0
                    pack(g, gradient)
            after = Hints(weight=kept, version=2, pattern=1 if known else 2)
            operations(name)[step](
                g=gradient, rates=rates, row=1, **ADAM, **STEPS[step], **mine, hints=after
            )
            if name == "cpu" and known and step == "masked_adam_step":
                lists = survivors_for(mine["w"], after)
                assert lists is kept["survivors"]
                assert lists.version == 2
                held_to(mine["w"].reshape(-1, shape[-1]), lists)
            results.append(mine)
        for key, expected_ in results[1].items():
            same(f"{step}: {key}", results[0][key], expected_, 0.0)
