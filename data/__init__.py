"""Data sets: load, fetch, list and verify them. Knows nothing of networks.

>>> import snnr.data
>>> mnist = snnr.data.load("mnist")
>>> mnist.x_train.shape
(60000, 1, 28, 28)
"""

from typing import TYPE_CHECKING

from snnr.errors import missing

from .dataset import Dataset
from .fetch import fetch
from .load import Status, load, status, verify
from .registry import RECORDS, File, Record
from .unpack import Progress

__all__ = [
    "RECORDS",
    "Dataset",
    "File",
    "Progress",
    "Record",
    "Status",
    "fetch",
    "load",
    "status",
    "verify",
]

if not TYPE_CHECKING:  # which would take any name for a good one
    __getattr__ = missing(__name__, __all__)
