"""Layers: arrays and shapes. The mathematics is in `snnr.functional`."""

from snnr.nn.arrays import EMPTY, Spec, constant, uniform
from snnr.nn.base import Layer
from snnr.nn.dropout import Dropout
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
    "register",
    "stages",
    "uniform",
]
