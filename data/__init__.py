"""Data sets: load, fetch, list and verify them. Knows nothing of networks.

>>> import snnr.data
>>> mnist = snnr.data.load("mnist")
>>> mnist.x_train.shape
(60000, 1, 28, 28)
"""

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
