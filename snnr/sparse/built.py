"""A compiled network for one input shape: form, tables, and room to work in."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.sparse.form import Shape, form_of
from snnr.sparse.kernels.fields import STATIC
from snnr.sparse.plan import Plan, Wiring
from snnr.sparse.removal import pruned
from snnr.sparse.source import Described

Array = NDArray[Any]

#: in place of an array that there is not
NOTHING = np.zeros(0, np.float32)
NO_OCTETS = np.zeros(0, np.uint8)


class Built:
    """An engine for one input shape: its form, wiring, and plans as they are needed."""

    def __init__(self, described: Described, input_shape: Shape) -> None:
        self.form = pruned(form_of(described, input_shape))
        self.wiring = Wiring(self.form)
        self.T = self.form.T
        self.outputs = int(np.prod(self.form.output_shape))
        self.size = int(np.prod(input_shape))
        self._plans: dict[tuple[int, int, int, bool], Plan] = {}
        self._idle: dict[tuple[Plan, int], list[Any]] = {}
        pixels = described.normalisation
        #: the floats of raw pixels, ``[C, 256]``
        self.pixels = NOTHING.reshape(0, 256) if pixels is None else pixels.table()
        self._one()

    def _one(self) -> None:
        """What a single image needs, where the first stage is linear."""
        self.single: tuple[Any, ...] | None = None
        self.bases: tuple[Any, ...] = ()
        first = self.wiring.ops[0].stage
        weight, neuron = first.weight, first.neuron
        if self.T is None or weight is None or weight.is_conv or neuron is None or neuron.soft:
            return
        plan = self.plan(STATIC, 1, self.T)
        if not plan.theta.size:
            return
        rows, count = weight.rows(), weight.shape[0]
        ones = np.bincount(rows, weight.data, count)
        period = self.size // max(len(self.pixels), 1)
        zeros, change = ones, NOTHING
        if len(self.pixels):
            zeros = np.bincount(
                rows, weight.data * self.pixels[weight.indices // period, 0].astype(float), count
            )
            change = (self.pixels - self.pixels[:, :1]).reshape(-1)
        wiring = self.wiring
        self.single = (
            plan.table, self.T, wiring.first, wiring.index, wiring.value, wiring.affine,
            wiring.scalars, plan.theta,
        )  # fmt: skip
        self.bases = (
            (ones.astype(np.float32), NOTHING, 1),
            (zeros.astype(np.float32), change, period),
        )
        self.single_plan = plan

    def plan(self, kind: int, G: int, S: int, watched: bool = False) -> Plan:
        """Tables for groups of G images over S steps; made when they are first needed."""
        key = kind, G, S, watched
        found = self._plans.get(key)
        if found is None:
            found = self._plans.setdefault(key, Plan(self.wiring, *key))
        return found

    def borrow(self, plan: Plan, count: int) -> Any:
        """A workspace that nobody else uses now."""
        try:
            return self._idle[plan, count].pop()
        except (KeyError, IndexError):
            return plan.workspace(count)

    def give_back(self, plan: Plan, count: int, space: Any) -> None:
        """Let others use it."""
        self._idle.setdefault((plan, count), []).append(space)

    def arguments(
        self, plan: Plan, x: Array, states: Array, space: Any, rates: Array, outputs: Array
    ) -> tuple[Any, ...]:
        """Of `run_alone` and `run_parallel`, for images ``[N, size]`` or sequences ``[T, N,
        size]``, contiguous, uint8 or float32."""
        wiring, raw, flat = self.wiring, x.dtype == np.uint8, x.reshape(-1)
        return (
            NOTHING if raw else flat, flat if raw else NO_OCTETS, self.pixels.reshape(-1),
            x.shape[-2], self.size, plan.head, plan.table, plan.G, plan.S, plan.Q, wiring.first,
            wiring.index, wiring.value, wiring.affine, wiring.scalars, plan.theta, plan.where,
            states, *space, self.outputs, rates.reshape(-1), outputs.reshape(-1),
        )  # fmt: skip
