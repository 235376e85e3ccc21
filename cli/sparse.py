"""Evaluation by the compiled network."""

import time
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from snnr.input import Source
    from snnr.nn import Sequential
    from snnr.training.evaluation import Evaluation, Report

#: images at a time
_BATCH = 500


def evaluate(
    network: "Sequential",
    source: "Source",
    labels: NDArray[np.int64],
    loss: str = "mse",
    batch_size: int | None = None,
    report: "Report | None" = None,
    confusion: bool = False,
) -> "Evaluation":
    """As `snnr.training.evaluate`; the time is that of the compiled network alone, without what
    counts spikes. Neurons that nothing reads are not counted: they are not there.

    Raises
    ------
    ConfigError : a layer cannot be compiled.
    ShapeError : the network's output is not one rate per class.
    """
    from snnr.activity import Activity, NeuronActivity
    from snnr.sparse import compile
    from snnr.tensor import Tensor, no_grad
    from snnr.training.evaluation import Answers, Evaluation
    from snnr.training.losses import Tally, checked_rates, loss_function

    criterion = loss_function(loss)
    first = source.batch([0])
    engine = compile(network, input_shape=first.sample_shape[1:])
    steps = first.timesteps or engine.form.T or 1
    tally = Tally("cpu")
    answers = Answers() if confusion else None
    seconds = 0.0
    totals: dict[str, dict[str, float]] = {"rates": {}, "silent": {}, "sops": {}, "macs": {}}
    fired: dict[str, NDArray[np.int64]] = {}
    count = source.count
    for start in range(0, count, batch_size or _BATCH):
        part = np.arange(start, min(start + (batch_size or _BATCH), count))
        images = source.batch(part).numpy()
        began = time.perf_counter()
        found = engine.rates(images)
        seconds += time.perf_counter() - began
        with no_grad():
            rate = checked_rates(Tensor(found), labels[part])
            tally.add(criterion(rate, labels[part]), rate, labels[part], part.size)
        if answers is not None:
            answers.add(rate, labels[part])
        stats = engine.stats(images)
        share = part.size / count
        for key, values in (
            ("rates", stats.firing_rates),
            ("sops", stats.synaptic_operations),
            ("macs", stats.multiply_accumulates),
        ):
            for name, value in values.items():
                totals[key][name] = totals[key].get(name, 0.0) + share * value
        for name, spikes in stats.spikes.items():
            fired[name] = fired.get(name, 0) + spikes
        if report is not None:
            report(int(part[-1]) + 1, count)
    neurons = {}
    for name, spikes in fired.items():
        gone = stats.silent.get(name, 0) * prod(spikes.shape[1:])
        neurons[name] = NeuronActivity(
            name=name,
            neurons=spikes.size + gone,
            spikes=int(spikes.sum()),
            outputs=(spikes.size + gone) * steps * count,
            firing_rate=totals["rates"][name],
            silent=float((np.count_nonzero(spikes == 0) + gone) / (spikes.size + gone)),
        )
    return Evaluation(
        loss_sum=tally.loss, correct=tally.correct, images=count, seconds=seconds,
        activity=Activity(count, neurons, totals["sops"], totals["macs"]),
        confusion=answers.counts if answers else None,
    )  # fmt: skip
