"""Compiled networks for other programs: C, NIR, arrays for scipy; and networks from elsewhere."""

from snnr.export.c import Answers, Written, write_c
from snnr.export.network import Exported, exported
from snnr.export.npz import write_npz

__all__ = ["Answers", "Exported", "Written", "exported", "write_c", "write_npz"]
