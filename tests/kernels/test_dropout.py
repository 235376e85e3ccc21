"""Random masks: the published bits, the same in every backend; and their use."""

import numpy as np
import pytest

from snnr.kernels import rules
from snnr.kernels.backend import philox_blocks
from snnr.kernels.cpu.parts.random import philox as compiled
from snnr.kernels.reference.dropout import philox

from .harness import compare, normal, sized, spikes

#: the known answers that come with Random123: counter, key, result of Philox 4x32-10
KNOWN = [
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]

MASKS = sized(
    [(0,), (1,), (3,), (4,), (5, 7), (3, 1031), (2, 40_000)], [(0,), (3,), (4,), (3, 131)]
)
IN_TIME = sized([(1, 1), (4, 17), (8, 132), (3, 1031)], [(1, 1), (4, 17), (3, 132)])


def start(counter: int) -> np.ndarray:
    return np.array([counter], np.uint64)


def whole(low: int, high: int) -> np.uint64:
    return np.uint64(low | high << 32)


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_the_published_bits(counter, key, words):
    assert philox(np.array(counter)[:, None], tuple(key))[:, 0].tolist() == words
    arguments = whole(*counter[:2]), whole(*counter[2:]), whole(*key)
    assert [int(word) for word in rules.philox(*arguments)] == words
    assert [int(word) for word in compiled(*arguments)] == words


@pytest.mark.parametrize("shape", MASKS)
@pytest.mark.parametrize(
    ("key", "counter"), [(0, 0), (1 << 63 | 5, 17), (7, (1 << 32) - 3), (9, (1 << 64) - 2)]
)
@pytest.mark.parametrize("p", [0.0, 0.3, 0.999])
def test_dropout_mask(kernels, shape, key, counter, p):
    out = np.empty(shape, np.uint8)
    done = compare(
        kernels, "dropout_mask", ("out",), updated=("counter",), key=key, counter=start(counter),
        p=p, out=out,
    )  # fmt: skip
    assert int(done["counter"][0]) == (counter + philox_blocks(out.size)) % (1 << 64)


def test_what_a_mask_is_made_of(every_kernels):
    """Share of ones, four elements from the published words, and where the next mask starts."""
    (size,) = sized([400_000], [1104])
    out = np.empty(size, np.uint8)
    every_kernels["dropout_mask"](1, start(0), 0.25, out)
    assert abs(out.mean() - 0.75) < 4 * (0.75 * 0.25 / size) ** 0.5
    first = np.empty(4, np.uint8)
    for word in KNOWN[0][2]:
        every_kernels["dropout_mask"](0, start(0), word / 2**32, first)
        assert first.tolist() == [int(other >= word) for other in KNOWN[0][2]]
    second, counter = np.empty(100, np.uint8), start(0)
    every_kernels["dropout_mask"](1, counter, 0.25, np.empty(1001, np.uint8))
    every_kernels["dropout_mask"](1, counter, 0.25, second)
    np.testing.assert_array_equal(second, out[1004:1104])


@pytest.mark.parametrize("shape", IN_TIME)
@pytest.mark.parametrize("kept", [0.0, 0.5, 1.0])
def test_mask_time(kernels, shape, kept):
    generator = np.random.default_rng(3)
    mask = spikes(generator, shape[1:], kept)
    x, s = normal(generator, shape), spikes(generator, shape, 0.3)
    out, spiking = np.empty(shape, np.float32), np.empty(shape, np.uint8)
    compare(kernels, "mask_time", ("out",), x=x, mask=mask, factor=2.0, out=out)
    compare(kernels, "mask_time", ("out",), x=s, mask=mask, factor=1.25, out=out)
    compare(kernels, "mask_time", ("out",), x=s, mask=mask, factor=1.0, out=spiking)


def test_mask_time_in_place(kernels):
    """The backward pass of a masked layer masks its gradient where it lies."""
    generator = np.random.default_rng(4)
    x, mask = normal(generator, (3, 130)), spikes(generator, (130,), 0.5)
    expected = 2 * x * mask
    kernels["mask_time"](x, mask, 2.0, x)
    np.testing.assert_array_equal(x, expected)
