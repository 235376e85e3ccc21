"""Batches of network input from whole data sets: images, and sequences of spikes."""

from snnr.input.events import Events, binned
from snnr.input.images import Images, affine_matrices
from snnr.input.moves import KINDS, MOVES, Affine, CropFlip, Moves, canonical_moves
from snnr.input.samples import Samples
from snnr.input.source import Source

__all__ = [
    "KINDS",
    "MOVES",
    "Affine",
    "CropFlip",
    "Events",
    "Images",
    "Moves",
    "Samples",
    "Source",
    "affine_matrices",
    "binned",
    "canonical_moves",
]
