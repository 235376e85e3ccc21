"""Images that the tests of exports share."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def pixels() -> np.ndarray:
    """40 images, uint8 [40, 2, 9, 8]."""
    return np.random.default_rng(3).integers(0, 256, (40, 2, 9, 8), np.uint8)
