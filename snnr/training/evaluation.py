"""Loss and accuracy of a network on labelled samples; results are sums, so that they add up."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnr.activity import Activity, ActivityCounter
from snnr.errors import ConfigError
from snnr.input import Source
from snnr.nn import Layer
from snnr.tensor import Tensor, no_grad
from snnr.training.losses import Tally, checked_rates, loss_function, rates

#: called with (images done, images in all) after each batch
Report = Callable[[int, int], None]

_MAX_BATCH = 500
_BUDGET = 256 << 20  # bytes for the activations of the largest layer


@dataclass(eq=False)
class Evaluation:
    """Result of `evaluate`, over `images` samples.

    loss_sum : the sum of the loss of each sample.
    correct : right answers.
    seconds : that it took.
    activity : firing rates and operations, None where they were not counted.
    confusion : how many samples of each class got which answer, ``[class, answer]``.
    """

    loss_sum: float
    correct: int
    images: int
    seconds: float
    activity: Activity | None = None
    counter: ActivityCounter | None = None
    confusion: NDArray[np.int64] | None = None

    @property
    def loss(self) -> float:
        """Mean loss."""
        return self.loss_sum / self.images

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.correct / self.images

    def merge(self, other: "Evaluation") -> None:
        """Add the result of other samples with the same network: of another process, for example.

        Activity is known afterwards where both have counted it.
        """
        self.loss_sum += other.loss_sum
        self.correct += other.correct
        self.images += other.images
        self.seconds += other.seconds
        if self.confusion is not None and other.confusion is not None:
            self.confusion = self.confusion + other.confusion
        else:
            self.confusion = None
        if self.counter is None or other.counter is None:
            self.activity = self.counter = None
            return
        self.counter.merge(other.counter)
        self.activity = self.counter.result()


class Answers:
    """Counts of answers ``[class, answer]``, over batches."""

    def __init__(self) -> None:
        self.counts: NDArray[np.int64] | None = None

    def add(self, rate: Tensor, labels: NDArray[np.int64]) -> None:
        """The first of the largest rates ``[N, classes]`` is the answer, as in `Tally`."""
        answers = rate.numpy().argmax(axis=1)
        classes = rate.shape[1]
        found = np.bincount(classes * labels + answers, minlength=classes**2)
        found = found.reshape(classes, classes).astype(np.int64)
        self.counts = found if self.counts is None else self.counts + found


@contextmanager
def evaluating(network: Layer) -> Iterator[None]:
    """Within the block the network is in evaluation mode; then each layer is in its own again."""
    modes = [(layer, layer.training) for layer in network.layers()]
    network.eval()
    try:
        yield
    finally:
        for layer, mode in modes:
            layer.training = mode


def evaluate(
    network: Layer,
    source: Source,
    labels: NDArray[np.int64],
    loss: str = "mse",
    batch_size: int | None = None,
    activity: bool = True,
    report: Report | None = None,
    index: NDArray[np.int64] | None = None,
    confusion: bool = False,
) -> Evaluation:
    """Run a network over samples in evaluation mode; the mode is put back afterwards.

    Parameters
    ----------
    source, labels : samples, nothing of which is moved at random, and ``[count]``.
    batch_size : samples at a time; by default as many as keep the largest layer within 256 MiB.
    activity : count spikes and operations too (`snnr.activity`).
    index : the samples to take; by default all of them.
    confusion : count the answers to each class too.

    Raises
    ------
    ShapeError : the network's output is not one rate per class.
    ConfigError : there is no such loss, or nothing to evaluate.
    """
    started = time.perf_counter()
    criterion = loss_function(loss)
    counter = ActivityCounter(network) if activity else None
    chosen = np.arange(source.count) if index is None else source.checked(index)
    if not chosen.size:
        raise ConfigError("there is nothing to evaluate: give at least one sample")
    size = batch_size or fitting_batch(network, source)
    tally = Tally(source.device)
    answers = Answers() if confusion else None
    with evaluating(network):
        for start in range(0, chosen.size, size):
            part = chosen[start : start + size]
            batch, marks = source.batch(part), labels[part]
            with no_grad(), counter.watching() if counter else nullcontext():
                rate = checked_rates(rates(network, batch), marks)
            with no_grad():
                tally.add(criterion(rate, marks), rate, marks, part.size)
            if answers is not None:
                answers.add(rate, marks)
            if report is not None:
                report(start + part.size, chosen.size)
    return Evaluation(
        loss_sum=tally.loss,
        correct=tally.correct,
        images=chosen.size,
        seconds=time.perf_counter() - started,
        activity=counter.result() if counter else None,
        confusion=answers.counts if answers else None,
        counter=counter,
    )


def fitting_batch(network: Layer, source: Source) -> int:
    """Samples at a time that keep the largest layer's activations within the memory budget."""
    sample = source.batch([0])
    largest = int(sample.memory.nbytes)

    def observe(_: str, x: Tensor) -> None:
        nonlocal largest
        # spikes are one byte, the current that made them four
        largest = max(largest, int(x.memory.nbytes) * (5 if x.dtype == np.uint8 else 1))

    with evaluating(network), no_grad(), network.observed(observe, spikes=True):
        network(sample)
    return max(1, min(_MAX_BATCH, _BUDGET // largest))
