"""Training: one step, the loop around it, evaluation, and whole runs from settings."""

from typing import TYPE_CHECKING

from snnr.errors import missing
from snnr.training.callback import Callback
from snnr.training.callbacks import JsonLines, TensorBoard
from snnr.training.evaluation import Evaluation, evaluate
from snnr.training.lines import Lines
from snnr.training.losses import LOSSES
from snnr.training.run import resume, start
from snnr.training.schedule import (
    SCHEDULES,
    Constant,
    Cosine,
    Schedule,
    Stairs,
    canonical_schedule,
)
from snnr.training.settings import RunSettings, run_settings
from snnr.training.trainer import Trainer

__all__ = [
    "LOSSES",
    "SCHEDULES",
    "Callback",
    "Constant",
    "Cosine",
    "Evaluation",
    "JsonLines",
    "Lines",
    "RunSettings",
    "Schedule",
    "Stairs",
    "TensorBoard",
    "Trainer",
    "canonical_schedule",
    "evaluate",
    "resume",
    "run_settings",
    "start",
]

if not TYPE_CHECKING:  # which would take any name for a good one
    __getattr__ = missing(__name__, __all__)
