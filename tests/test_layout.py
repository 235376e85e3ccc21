"""Memory against the public shape."""

import numpy as np
import pytest

from snnr.layout import Layout
from snnr.tensor import Parameter, Tensor

SHAPES = {
    Layout.PLAIN: (3, 4),
    Layout.IMAGES: (2, 3, 4, 5, 6),
    Layout.LINEAR: (3, 4),
    Layout.CONV: (2, 3, 4, 5),
}
MEMORY = {
    Layout.PLAIN: (3, 4),
    Layout.IMAGES: (2, 3, 5, 6, 4),
    Layout.LINEAR: (4, 3),
    Layout.CONV: (4, 5, 3, 2),
}


@pytest.mark.parametrize("layout", Layout)
def test_there_and_back(layout: Layout) -> None:
    shape = SHAPES[layout]
    array = np.arange(np.prod(shape)).reshape(shape)
    memory = layout.to_memory(array)
    assert memory.shape == layout.memory_shape(shape) == MEMORY[layout]
    assert memory.flags.c_contiguous
    assert layout.public_shape(memory.shape) == shape
    public = layout.to_public(memory)
    assert np.shares_memory(public, memory)
    np.testing.assert_array_equal(public, array)
    assert layout.to_memory(public) is not None
    assert np.shares_memory(layout.to_memory(public), memory)


@pytest.mark.parametrize("target", [Layout.PLAIN, Layout.IMAGES, Layout.CONV])
@pytest.mark.parametrize("source", [Layout.PLAIN, Layout.IMAGES, Layout.CONV])
def test_from_one_to_another(source: Layout, target: Layout) -> None:
    array = np.arange(120).reshape(2, 3, 4, 5)
    moved = source.to_memory(array).transpose(source.axes_to(target, 4))
    np.testing.assert_array_equal(moved, target.to_memory(array))


def test_what_lies_how() -> None:
    assert Layout.of(4, None) is Layout.of(5, 7) is Layout.IMAGES
    assert Layout.of(2, None) is Layout.of(4, 7) is Layout.of(5, None) is Layout.PLAIN
    assert [Layout.of_weight(n) for n in (1, 2, 3, 4)] == [
        Layout.PLAIN, Layout.LINEAR, Layout.PLAIN, Layout.CONV,
    ]  # fmt: skip


def test_a_tensor_keeps_an_array_that_lies_right_and_copies_another() -> None:
    images = np.zeros((2, 5, 6, 3), np.float32)
    assert np.shares_memory(Tensor(images.transpose(0, 3, 1, 2)).data, images)
    planes = np.zeros((2, 3, 5, 6), np.float32)
    assert not np.shares_memory(Tensor(planes).data, planes)
    rows = np.zeros((4, 3), np.float32)
    assert np.shares_memory(Tensor(rows).data, rows)


def test_a_parameter_owns_its_memory_and_shows_it() -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    p = Parameter(values)
    p.data[0, 1] = 9
    assert values[0, 1] == 1
    assert p.memory.shape == (3, 2)
    assert p.memory[1, 0] == 9
    assert not p.numpy().flags.writeable
    version = p.version
    p.assign(values)
    assert p.version > version
    np.testing.assert_array_equal(p.numpy(), values)
    assert p.exposed
