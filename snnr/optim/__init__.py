"""Optimizers, one file per method; each is selectable by name from the command line."""

from snnr.optim.adam import Adam
from snnr.optim.base import Optimizer
from snnr.optim.grad_r import GradR
from snnr.optim.settings import AdamSettings, GradRSettings, Settings
from snnr.optim.state import Kept, State
from snnr.optim.steering import Steered

#: method name -> optimizer class
METHODS: dict[str, type[Optimizer]] = {kind.METHOD: kind for kind in (GradR, Adam)}

__all__ = [
    "METHODS",
    "Adam",
    "AdamSettings",
    "GradR",
    "GradRSettings",
    "Kept",
    "Optimizer",
    "Settings",
    "State",
    "Steered",
]
