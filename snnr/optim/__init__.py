"""Optimizers, one file per method; each is selectable by name from the command line."""

from typing import TYPE_CHECKING

from snnr.errors import missing
from snnr.optim.adam import Adam
from snnr.optim.base import Optimizer
from snnr.optim.deep_r import DeepR, DeepRSettings
from snnr.optim.grad_r import GradR
from snnr.optim.imp import IMP
from snnr.optim.magnitude import Magnitude
from snnr.optim.rigl import RigL
from snnr.optim.settings import AdamSettings, GradRSettings, Settings
from snnr.optim.soft_deep_r import SoftDeepR, SoftDeepRSettings
from snnr.optim.sparse_evolution import SET
from snnr.optim.state import Kept, State
from snnr.optim.stds import STDS, STDSSettings
from snnr.optim.steering import Steered

#: method name -> optimizer class
METHODS: dict[str, type[Optimizer]] = {
    kind.METHOD: kind for kind in (GradR, DeepR, SoftDeepR, STDS, SET, RigL, Magnitude, IMP, Adam)
}

__all__ = [
    "IMP",
    "METHODS",
    "SET",
    "STDS",
    "Adam",
    "AdamSettings",
    "DeepR",
    "DeepRSettings",
    "GradR",
    "GradRSettings",
    "Kept",
    "Magnitude",
    "Optimizer",
    "RigL",
    "STDSSettings",
    "Settings",
    "SoftDeepR",
    "SoftDeepRSettings",
    "State",
    "Steered",
]

#: names that people know from other libraries -> what does that here
_ELSEWHERE = {
    "SGD": "Adam (method 'dense'), or GradR and the others that prune",
    "AdamW": "Adam",
    "lr_scheduler": "snnr.Trainer(schedule=...)",
    "GradualMagnitude": "Magnitude",
    "Dense": "Adam",
}

if not TYPE_CHECKING:  # which would take any name for a good one
    __getattr__ = missing(__name__, __all__, _ELSEWHERE)
