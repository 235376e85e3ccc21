"""Steps of connections, and which of them are kept and grown, against the reference."""

import numpy as np
import pytest

from snnr.kernels import rules
from snnr.kernels.reference.dropout import words

from .harness import compare, normal, pruned, sized

SIZES = sized([1, 7, 4096, 40_007], [1, 7, 131])
FEW = sized([7, 4096], [131])
ADAM = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
FLOATS = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def rates(step_size=0.01, inv_sqrt_c2=9.1, third=np.nan):
    """The row in the middle, between two that no kernel should read."""
    found = np.full((3, 4), np.nan)
    found[1] = step_size, inv_sqrt_c2, third, np.nan
    return {"rates": found, "row": 1}


def counts(w):
    """As the step before left them."""
    return np.array([np.count_nonzero(w), 5, 3])


@FLOATS
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("size", SIZES)
def test_masked_adam_step(kernels, size, share, dtype):
    """What belongs to no connection may be anything."""
    generator = np.random.default_rng(0)
    w = pruned(generator, (size,), share, dtype)
    g, m, v = normal(generator, (3, size), dtype)
    v = v * v
    for array in (g, m, v):
        array[w == 0] = np.nan
    done = compare(
        kernels, "masked_adam_step", (), updated=("w", "m", "v", "counts"), w=w, g=g, m=m, v=v,
        counts=np.array([9, 5, 3]), **rates(), **ADAM,
    )  # fmt: skip
    np.testing.assert_array_equal(done["w"] == 0, w == 0)
    assert done["counts"].tolist() == [np.count_nonzero(w), 5, 3]


@FLOATS
def test_a_connection_that_would_become_0_stays_with_its_sign(every_kernels, dtype):
    """The first moment alone: with no second one and eps 1, what is subtracted is step_size*m."""
    w = np.array([0.5, -0.5, 0.25, 0.0, -0.0], dtype)
    g = w.copy()
    w0, m, v = w.copy(), np.zeros_like(w), np.zeros_like(w)
    total = np.zeros(3, np.int64)
    plain = {"beta1": 0.0, "beta2": 0.0, "eps": 1.0}
    row = {"rates": np.array([[1.0, 0.0, np.nan, np.nan]]), "row": 0}
    every_kernels["masked_adam_step"](w, g, m, v, **row, **plain, counts=total)
    tiny = dtype(rules.TINY)
    assert w.tolist() == [tiny, -tiny, tiny, 0, 0]
    assert total.tolist() == [3, 0, 0]
    # with half the step nothing reaches 0, and signs may turn
    row["rates"][0, 0] = 1.5
    w = w0.copy()
    every_kernels["masked_adam_step"](w, g, m, v, **row, **plain, counts=total)
    assert w.tolist() == [-0.25, 0.25, -0.125, 0, 0]


@FLOATS
@pytest.mark.parametrize("size", [0, *SIZES])
def test_forget_absent(kernels, size, dtype):
    generator = np.random.default_rng(1)
    w = pruned(generator, (size,), 0.5, dtype)
    w[::5] = -0.0
    w[1::7] = np.nan
    m, v = normal(generator, (2, size), dtype)
    compare(kernels, "forget_absent", (), updated=("m", "v"), w=w, m=m, v=v)


def odd_magnitudes(generator, size, dtype):
    """Both zeros, ties, subnormals, infinity and NaN among others."""
    x = normal(generator, (size,), dtype)
    x[::3] = np.round(x[::3])
    odd = [0.0, -0.0, np.inf, -np.inf, np.nan, np.finfo(dtype).smallest_subnormal, 1e-12, -1e-12]
    places = generator.permutation(size)[: size // 2]
    x[places] = generator.choice(np.array(odd, dtype), len(places))
    return x


@FLOATS
@pytest.mark.parametrize("size", [0, *SIZES])
def test_replace_connected(kernels, size, dtype):
    generator = np.random.default_rng(5)
    w = pruned(generator, (size,), 0.5, dtype)
    w[::5] = -0.0
    values = odd_magnitudes(generator, size, dtype)
    done = compare(kernels, "replace_connected", (), updated=("w",), w=w, values=values)
    np.testing.assert_array_equal(done["w"] != 0, w != 0)


@FLOATS
@pytest.mark.parametrize("size", FEW)
def test_count_magnitudes(kernels, size, dtype):
    """Level by level along the digits of one entry: one is left, or those that equal it."""
    w = odd_magnitudes(np.random.default_rng(6), size, dtype)
    w[3] = -1.375
    prefix, bins = 0, np.empty(1 << 16, np.int64)
    inverted = ~np.abs(w[3:4]).view(f"u{w.itemsize}")
    bits = int(inverted[0]) & ((1 << (8 * w.itemsize - 1)) - 1)
    left = size
    for level in range(w.itemsize // 2):
        done = compare(
            kernels, "count_magnitudes", ("bins",), w=w, level=level, prefix=prefix, bins=bins
        )
        assert done["bins"].sum() == left
        digit = bits >> (8 * w.itemsize - 16 * (level + 1)) & 0xFFFF
        left, prefix = done["bins"][digit], prefix << 16 | digit
    assert left == np.count_nonzero(np.abs(w) == 1.375)


@FLOATS
@pytest.mark.parametrize("size", SIZES)
def test_keep_largest(kernels, size, dtype):
    generator = np.random.default_rng(2)
    w = odd_magnitudes(generator, size, dtype)
    for keep in sorted({0, 1, size // 3, size // 2, size - 1, size, size + 1}):
        done = compare(
            kernels, "keep_largest", (), updated=("w", "counts"), w=w, keep=keep, counts=counts(w)
        )
        assert done["counts"][0] == min(keep, np.count_nonzero(w))


def test_which_are_kept(every_kernels):
    """NaN is the largest; of equal ones the first, whatever their sign."""
    w = np.array([[1, -2, np.nan], [2, -1, 0], [2, -np.inf, 1e-30]], np.float32)
    total = counts(w)
    expected = {
        7: [[1, -2, np.nan], [2, -1, 0], [2, -np.inf, 0]],
        6: [[1, -2, np.nan], [2, 0, 0], [2, -np.inf, 0]],
        4: [[0, -2, np.nan], [2, 0, 0], [0, -np.inf, 0]],
        1: [[0, 0, np.nan], [0, 0, 0], [0, 0, 0]],
    }
    for keep, left in expected.items():
        every_kernels["keep_largest"](w, keep, total)
        np.testing.assert_array_equal(w, left)
        assert total.tolist() == [keep, 5 + 8 - keep, 3]


@pytest.mark.parametrize("keep", [1, 64, 65, 110])
def test_many_are_equal(kernels, keep):
    """More than a block of threads, and their places differ in every digit that a small array
    has."""
    w = np.full(sized([70_000], [131])[0], -0.5, np.float32)
    w[5::9] = 0.25
    done = compare(
        kernels, "keep_largest", (), updated=("w", "counts"), w=w, keep=keep, counts=counts(w)
    )
    np.testing.assert_array_equal(np.flatnonzero(done["w"]), np.flatnonzero(w < 0)[:keep])


@FLOATS
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
@pytest.mark.parametrize(
    ("size", "most"),
    # the last free places of many are long in coming, where the reference draws in Python
    [*[(size, 600) for size in sized([7, 300, 4096], [131])],
     pytest.param(4096, 4096, marks=pytest.mark.slow)],
)  # fmt: skip
def test_grow_random(kernels, size, most, share, dtype):
    generator = np.random.default_rng(3)
    w = pruned(generator, (size,), share, dtype)
    there = np.count_nonzero(w)
    sign = generator.choice(np.array([-1, 1], np.int8), size)
    for total in sorted({there - 1, there, (3 * there + size) // 4, min(size, there + most)}):
        for key, step, given in ((5, 0, None), (1 << 63 | 7, (1 << 33) + 1, sign)):
            done = compare(
                kernels, "grow_random", (), updated=("w", "counts"), w=w, total=total, key=key,
                counts=counts(w), sign=given, **rates(third=float(step)),
            )  # fmt: skip
            grown = (w == 0) & (done["w"] != 0)
            assert grown.sum() == max(total - there, 0)
            assert done["counts"].tolist() == [max(total, there), 5, 3 + grown.sum()]
            assert (np.abs(done["w"][grown]) == dtype(rules.TINY)).all()
            np.testing.assert_array_equal(done["w"][w != 0], w[w != 0])
            if given is not None:
                np.testing.assert_array_equal(np.sign(done["w"][grown]), sign[grown])


def test_what_is_drawn(every_kernels):
    """The words of the published generator, two of them for each place and its sign."""
    size, wanted = 1000, sized([300], [60])[0]
    w = np.zeros((20, 50), np.float32)
    total = np.zeros(3, np.int64)
    every_kernels["grow_random"](w, wanted, 11, **rates(third=0.0), counts=total)
    drawn, expected = words(11, 0, 4 * wanted).astype(object), {}
    for high, low in zip(drawn[::2], drawn[1::2], strict=True):
        place = ((high << 32) + low) * size >> 64
        if len(expected) < wanted and place not in expected:
            expected[place] = np.float32(rules.TINY if low % 2 else -rules.TINY)
    assert {int(i): w.flat[i] for i in np.flatnonzero(w)} == expected
    other = np.zeros((20, 50), np.float32)
    every_kernels["grow_random"](other, wanted, 11, **rates(third=1.0), counts=0 * total)
    assert ((other != 0) != (w != 0)).any()


def test_places_are_drawn_evenly(every_kernels):
    """Every third place is taken already; each of the others is as likely as any other."""
    runs = sized([4000], [150])[0]
    taken = np.arange(12) % 3 == 0
    hits, ups = np.zeros(12), 0
    for step in range(runs):
        w = taken.astype(np.float32)
        every_kernels["grow_random"](w, 6, 3, **rates(third=float(step)), counts=counts(w))
        hits += (w != 0) & ~taken
        ups += np.count_nonzero(w[~taken] > 0)
    assert not hits[taken].any()
    expected = runs * 2 / 8
    assert (np.abs(hits[~taken] - expected) < 5 * expected**0.5).all()
    assert abs(ups - runs) < 5 * (runs / 2) ** 0.5


@FLOATS
@pytest.mark.parametrize("share", [0.0, 0.4, 0.95])
@pytest.mark.parametrize("size", FEW)
def test_grow_largest(kernels, size, share, dtype):
    generator = np.random.default_rng(4)
    w = pruned(generator, (size,), share, dtype)
    w[::11] = -0.0
    g = odd_magnitudes(generator, size, dtype)
    there = np.count_nonzero(w)
    for total in sorted({there - 1, there, there + 1, (3 * there + size) // 4, size}):
        done = compare(
            kernels, "grow_largest", (), updated=("w", "counts"), w=w, g=g, total=total,
            counts=counts(w),
        )  # fmt: skip
        assert done["counts"].tolist()[0] == np.count_nonzero(done["w"]) == max(total, there)


def test_which_are_grown(every_kernels):
    """Where |g| is largest and no connection is, against the sign of g; of equal ones the first."""
    w = np.array([3, 0, 0, -2, 0, -0.0, 0, 0], np.float32)
    g = np.array([9, 1, -1, np.nan, 0, -4, np.nan, 0], np.float32)
    tiny = np.float32(rules.TINY)
    total = counts(w)
    expected = {
        3: [3, 0, 0, -2, 0, 0, tiny, 0],
        4: [3, 0, 0, -2, 0, tiny, tiny, 0],
        5: [3, -tiny, 0, -2, 0, tiny, tiny, 0],
        7: [3, -tiny, tiny, -2, tiny, tiny, tiny, 0],
    }
    for wanted, left in expected.items():
        every_kernels["grow_largest"](w, g, wanted, total)
        np.testing.assert_array_equal(w, np.array(left, np.float32))
        assert total.tolist() == [wanted, 5, 3 + wanted - 2]


@pytest.mark.parametrize("shape", sized([(1,), (70000,), (3, 5, 7)], [(1,), (3, 5)]))
def test_keep_survivors(kernels, shape):
    generator = np.random.default_rng(8)
    w, x = pruned(generator, shape, 0.5, np.float32), normal(generator, shape)
    x[..., 0] = np.nan
    compare(kernels, "keep_survivors", (), ("x",), w=w, x=x)
