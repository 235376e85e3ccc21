"""Vector code refuses, when it is compiled, what it would read as something else."""

import numpy as np
import pytest
from numba.core.errors import TypingError

from snnr.kernels.cpu import OPERATIONS
from snnr.kernels.operations import Hints


@pytest.mark.parametrize("density", [0.05, 1.0])
@pytest.mark.parametrize("kind", [np.float32, np.uint8])
def test_mixed_element_types(kind, density):
    generator = np.random.default_rng(0)
    x = (generator.random((20, 40)) < density).astype(kind)
    w, out = np.ones((40, 33), np.float64), np.empty((20, 33), np.float32)
    with pytest.raises(TypingError, match="one float type, not float32, float64"):
        OPERATIONS["linear"](x, w, None, out)
    with pytest.raises(TypingError, match="one float type, not float32, float64"):
        OPERATIONS["linear_input_grad"](out, w, np.empty((20, 40)), hints=Hints(0.05))
    images, kernel = x.reshape(2, 5, 8, 10), np.ones((3, 3, 10, 4), np.float64)
    with pytest.raises(TypingError, match="one float type, not float32, float64"):
        OPERATIONS["conv2d"](
            images, kernel, None, (1, 1), (1, 1), np.empty((2, 5, 8, 4), np.float32)
        )
