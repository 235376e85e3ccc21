"""Where methods that draw random numbers at every step take them from."""

import copy

import numpy as np


class Keys:
    """Philox keys, one for each parameter, that follow from the state of a generator alone.

    The generator stays as it is: a checkpoint saves its state, and whoever restores it draws the
    same numbers; which of them are next is said by counts of steps.

    Parameters
    ----------
    rng : generator or seed; a generator is drawn from once.
    count : how many parameters.
    """

    def __init__(self, rng: np.random.Generator | int | None, count: int) -> None:
        if isinstance(rng, np.random.Generator):
            rng = int(rng.integers(1 << 63))
        self.rng = np.random.default_rng(rng)
        self._count = count
        self._made_of: object = None
        self._keys: list[int] = []

    def of(self, row: int) -> int:
        """The key of a parameter."""
        state = self.rng.bit_generator.state
        if state != self._made_of:
            again = copy.deepcopy(self.rng)
            self._keys = again.integers(1 << 63, size=self._count).tolist()
            self._made_of = state
        return self._keys[row]
