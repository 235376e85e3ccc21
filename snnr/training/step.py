"""One step: batch -> forward -> loss -> backward -> seam -> finite? -> update."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from snnr import functional as F
from snnr import kernels
from snnr.input import Source
from snnr.nn import Layer
from snnr.nn.watching import is_watching
from snnr.optim import Optimizer
from snnr.tensor import Tensor
from snnr.training.losses import LAUNCH_ALIKE, Loss, Marks, Tally, checked_rates, rates
from snnr.training.recording import Parts, Recorder

#: steps between two looks at whether everything is finite, on a device that would have to be
#: waited for
LOOK_EVERY = 64


class Step:
    """Steps of one training, and what they sum up.

    What is read from the device, and when: on a host device the flag that says whether everything
    is finite is read in every step, before the update; elsewhere in every `LOOK_EVERY` steps and
    whenever `finite` is called. Loss and right answers are read when `tally` is asked.

    Elsewhere the launches of a step are recorded and run again (`recording`) where nothing between
    forward pass and update has to be seen by anybody.
    """

    def __init__(self, network: Layer, optimizer: Optimizer, loss: Loss, device: str) -> None:
        self.network = network
        self.optimizer = optimizer
        self.loss = loss
        self.tally = Tally(device)
        self._device = device
        self._backend = kernels.backend(device)
        self._flag = self._backend.empty(1, np.uint8)
        self._every = 1 if self._backend.host else LOOK_EVERY
        self._since = 0
        self._backend.fill(self._flag, 1)
        #: None on a host, whose steps are launched one by one
        self.recorder = None if self._backend.host else Recorder(self._backend)
        self._batch: Tensor | None = None
        self._labels: F.Labels | None = None
        self._classes = math.inf  # of the last step that was not run from a recording

    def batch(
        self, source: Source, index: NDArray[np.int64], rng: np.random.Generator | None
    ) -> Tensor:
        """The samples at `index` for the next step: off the host in memory that stays, and that
        the next batch is written into."""
        # who watches may keep what is seen
        if self.recorder is None or is_watching():
            self._batch = None
            return source.batch(index, rng)
        if self._batch is None:
            self._batch = source.batch(index, rng)
        else:
            self._batch = source.refill(self._batch, index, rng)
        return self._batch

    def take(
        self, batch: Tensor, labels: NDArray[np.int64], seam: Callable[[], None] | None = None
    ) -> bool:
        """One step; `seam`, where there is one, is called between the backward pass and the update.

        Returns False where it is known that the loss or a gradient is not finite; on a host the
        update was not made then.
        """
        marks = self._marked(labels)
        if self._replayed(batch, marks, seam):
            self.optimizer.settle()
            return not self._looks() or self.finite()
        loss, rate = self._backward(batch, marks)
        if seam is not None:
            self.optimizer.narrow()
            seam()
        self._inspect(loss)
        if self._looks() and not self.finite():
            return False
        self.optimizer.step()
        self.tally.add(loss, rate, marks)
        self._classes = rate.shape[1]
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
        if self.recorder is not None:
            for p in self.network.parameters():
                if p.role == "weight" and p.backend.reconsider(p.kept):
                    self.recorder.forget()
        return found

    def _replayed(self, batch: Tensor, marks: Marks, seam: Callable[[], None] | None) -> bool:
        """Whether the step was run from a recording."""
        if self.recorder is None:
            return False
        if seam is not None or not isinstance(marks, F.Labels):
            self.recorder.forget()
            return False
        if marks.largest >= self._classes:
            return False  # a plain step says what is wrong

        def work() -> None:
            loss, rate = self._backward(batch, marks)
            self._inspect(loss)
            self.optimizer.launch()
            self.tally.add(loss, rate, marks)

        parts = Parts(self.network, self.optimizer, self.loss, batch, marks)
        return self.recorder.take(work, parts)

    def _backward(self, batch: Tensor, marks: Marks) -> tuple[Tensor, Tensor]:
        """Loss and rates of a batch, the gradients collected."""
        rate = checked_rates(rates(self.network, batch), marks)
        loss = self.loss(rate, marks)
        self.optimizer.zero_grad()
        loss.backward()
        return loss, rate

    def _inspect(self, loss: Tensor) -> None:
        """Lower the flag where something is not finite."""
        self._backend.all_finite(loss.memory.reshape((1,)), self._flag)
        for p in self.optimizer.params:
            if p.grad_memory is not None:
                self._backend.all_finite(p.grad_memory, self._flag)

    def _looks(self) -> bool:
        """Whether it is time to look at the flag."""
        self._since += 1
        return self._since >= self._every

    def _marked(self, labels: NDArray[np.int64]) -> Marks:
        """The labels in memory that stays, off the host and for a loss that takes them so."""
        if self.recorder is None or self.loss not in LAUNCH_ALIKE:
            return labels
        if self._labels is None or self._labels.memory.shape != labels.shape:
            self._labels = F.Labels(labels, self._device)
        else:
            self._labels.assign(labels)
        return self._labels
