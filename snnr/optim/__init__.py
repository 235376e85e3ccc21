"""Optimizers, one file per method; each is selectable by name from the command line."""

from snnr.optim.adam import Adam
from snnr.optim.base import Optimizer
from snnr.optim.grad_r import GradR
from snnr.optim.imp import IMP
from snnr.optim.magnitude import Magnitude
from snnr.optim.rigl import RigL
from snnr.optim.settings import AdamSettings, GradRSettings, Settings
from snnr.optim.sparse_evolution import SET
from snnr.optim.state import Kept, State

#: method name -> optimizer class
METHODS: dict[str, type[Optimizer]] = {
    kind.METHOD: kind for kind in (GradR, Adam, SET, RigL, Magnitude, IMP)
}

__all__ = [
    "IMP",
    "METHODS",
    "SET",
    "Adam",
    "AdamSettings",
    "GradR",
    "GradRSettings",
    "Kept",
    "Magnitude",
    "Optimizer",
    "RigL",
    "Settings",
    "State",
]
