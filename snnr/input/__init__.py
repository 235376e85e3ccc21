"""Batches of network input from whole data sets: images, and sequences of spikes."""

from snnr.input.events import Events, binned
from snnr.input.images import KINDS, Images, Kind, affine_matrices
from snnr.input.samples import Samples
from snnr.input.source import Source

__all__ = [
    "KINDS",
    "Events",
    "Images",
    "Kind",
    "Samples",
    "Source",
    "affine_matrices",
    "binned",
]
