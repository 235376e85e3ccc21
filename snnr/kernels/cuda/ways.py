"""Which way a product goes, where it depends on what was counted: plain functions.

The counts stay on the device, kept with the weight, and are read between steps, never within one
(`memory.reconsider`): so a step can be recorded.
"""

from typing import Any

#: names in what is kept with a weight: int64 [2] memory, spikes and entries looked at since the
#: last time; and the way
COUNT, WAY = "spikes counted", "way of products"
DENSE, SPIKES = "dense", "spikes"

#: share of spikes below which adding up weight rows is quicker than multiplying. An estimate, not
#: measured: an addition fetches 4 bytes of a weight row from the cache of the card (5 TB/s on an
#: H100, 1.2e12 additions/s), a tile makes 2e13 multiply-adds/s
FEW_SPIKES = 0.05
#: the way changes only where the share is past the border by so much, so as not to swing
MARGIN = 1.25


def way(kept: dict[str, Any] | None) -> str:
    """The way that was decided upon last."""
    return DENSE if kept is None else str(kept.get(WAY, DENSE))


def decide(kept: dict[str, Any], spikes: int, entries: int) -> bool:
    """Set the way from what was counted; whether it is another one now."""
    if entries == 0:
        return False
    before = way(kept)
    border = FEW_SPIKES * MARGIN if before == SPIKES else FEW_SPIKES / MARGIN
    kept[WAY] = SPIKES if spikes < border * entries else DENSE
    return bool(kept[WAY] != before)
