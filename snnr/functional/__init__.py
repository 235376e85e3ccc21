"""Differentiable operations: forward and backward side by side, one node per layer and sequence."""

from typing import TYPE_CHECKING

from snnr.errors import missing
from snnr.functional.arithmetic import add, multiply, total
from snnr.functional.conv import conv2d
from snnr.functional.dropout import dropout, dropout_mask
from snnr.functional.linear import linear
from snnr.functional.loss import (
    Labels,
    cross_entropy,
    label_mse_loss,
    mean_time,
    mse_loss,
    one_hot,
)
from snnr.functional.neuron import norm_spiking, spiking
from snnr.functional.norm import RunningStatistics, batch_norm
from snnr.functional.pool import avg_pool2d, flatten, max_pool2d, voting
from snnr.kernels.rules import Neuron, if_neuron, lif_neuron

__all__ = [
    "Labels",
    "Neuron",
    "RunningStatistics",
    "add",
    "avg_pool2d",
    "batch_norm",
    "conv2d",
    "cross_entropy",
    "dropout",
    "dropout_mask",
    "flatten",
    "if_neuron",
    "label_mse_loss",
    "lif_neuron",
    "linear",
    "max_pool2d",
    "mean_time",
    "mse_loss",
    "multiply",
    "norm_spiking",
    "one_hot",
    "spiking",
    "total",
    "voting",
]

#: names that people know from other libraries -> what does that here
_ELSEWHERE = {
    "relu": "spiking(x, lif_neuron()): neurons are the nonlinearity",
    "softmax": "cross_entropy, which has it inside",
    "one_hot_labels": "one_hot",
    "nll_loss": "cross_entropy",
    "l1_loss": "mse_loss, or a formula of tensors",
    "sum": "x.sum()",
    "mean": "x.mean()",
}

if not TYPE_CHECKING:  # which would take any name for a good one
    __getattr__ = missing(__name__, __all__, _ELSEWHERE)
