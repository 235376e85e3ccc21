"""Layers: arrays and shapes. The mathematics is in `snnr.functional`."""

from typing import TYPE_CHECKING

from snnr.errors import missing
from snnr.nn import init
from snnr.nn.arrays import EMPTY, Spec
from snnr.nn.base import Layer
from snnr.nn.dropout import Dropout
from snnr.nn.init import constant
from snnr.nn.init import default as uniform
from snnr.nn.neuron import IF, LIF
from snnr.nn.norm import BatchNorm, BatchNorm1d, BatchNorm2d
from snnr.nn.registry import LAYERS, build, describe, register
from snnr.nn.sequential import Sequential
from snnr.nn.shape import AvgPool2d, Flatten, MaxPool2d, Voting
from snnr.nn.stages import Stage, stages
from snnr.nn.weights import Conv2d, Linear

__all__ = [
    "EMPTY",
    "IF",
    "LAYERS",
    "LIF",
    "AvgPool2d",
    "BatchNorm",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv2d",
    "Dropout",
    "Flatten",
    "Layer",
    "Linear",
    "MaxPool2d",
    "Sequential",
    "Spec",
    "Stage",
    "Voting",
    "build",
    "constant",
    "describe",
    "init",
    "register",
    "stages",
    "uniform",
]

#: names that people know from other libraries -> what does that here
_ELSEWHERE = {
    "Module": "Layer",
    "ModuleList": "a list of layers, as an attribute of a Layer",
    "Parameter": "snnr.Parameter",
    "functional": "snnr.functional",
    "ReLU": "LIF: neurons are the nonlinearity",
    "Leaky": "LIF",
    "LIFNode": "LIF",
    "IFNode": "IF",
    "ParametricLIFNode": "LIF, whose tau is fixed",
    "LIFCell": "LIF",
    "CrossEntropyLoss": "snnr.functional.cross_entropy",
    "MSELoss": "snnr.functional.mse_loss",
    "Dropout2d": "Dropout",
    "Conv1d": "Conv2d with kernel_size=(1, k)",
    "BatchNorm3d": "BatchNorm2d",
    "LayerNorm": "BatchNorm1d",
    "Softmax": "snnr.functional.cross_entropy, which has it inside",
}

if not TYPE_CHECKING:  # which would take any name for a good one
    __getattr__ = missing(__name__, __all__, _ELSEWHERE)
