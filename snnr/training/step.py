"""One step: batch -> forward -> loss -> backward -> seam -> finite? -> update."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from snnr import kernels
from snnr.nn import Layer
from snnr.optim import Optimizer
from snnr.tensor import Tensor
from snnr.training.losses import Loss, Tally, checked_rates, rates

#: steps between two looks at whether everything is finite, on a device that would have to be
#: waited for
LOOK_EVERY = 64


class Step:
    """Steps of one training, and what they sum up.

    What is read from the device, and when: on a host device the flag that says whether everything
    is finite is read in every step, before the update; elsewhere in every `LOOK_EVERY` steps and
    whenever `finite` is called. Loss and right answers are read when `tally` is asked.
    """

    def __init__(self, network: Layer, optimizer: Optimizer, loss: Loss, device: str) -> None:
        self.network = network
        self.optimizer = optimizer
        self.loss = loss
        self.tally = Tally(device)
        self._backend = kernels.backend(device)
        self._flag = self._backend.empty(1, np.uint8)
        self._every = 1 if self._backend.host else LOOK_EVERY
        self._since = 0
        self._backend.fill(self._flag, 1)

    def take(self, batch: Tensor, labels: NDArray[np.int64], seam: Callable[[], None]) -> bool:
        """One step; `seam` is called between the backward pass and the update.

        Returns False, without the update, where it is known that the loss or a gradient is not
        finite.
        """
        rate = checked_rates(rates(self.network, batch), labels)
        loss = self.loss(rate, labels)
        self.optimizer.zero_grad()
        loss.backward()
        seam()
        self._backend.all_finite(loss.memory.reshape((1,)), self._flag)
        for p in self.optimizer.params:
            if p.grad_memory is not None:
                self._backend.all_finite(p.grad_memory, self._flag)
        self._since += 1
        if self._since >= self._every and not self.finite():
            return False
        self.optimizer.step()
        self.tally.add(loss, rate, labels)
        return True

    def finite(self) -> bool:
        """Whether everything was finite since the last time this was asked; waits for the device.

        Spikes hide what is not: a neuron whose potential is NaN is merely silent, and the loss of
        rates stays finite. The gradients do not, so they are looked at in every step.
        """
        self._since = 0
        found = bool(self._backend.copy_out(self._flag)[0])
        if not found:
            self._backend.fill(self._flag, 1)
        return found
