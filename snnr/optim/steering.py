"""Ending at a connectivity: a setting of the method is moved while it trains."""

import math
from typing import Any, ClassVar

from snnr.errors import ConfigError
from snnr.optim.base import Optimizer

#: looks at the connectivity in a training, at most: a device is waited for at each of them
LOOKS = 400
#: share of the training after which the connectivity is to stay as it is
REACH = 0.9
#: gradual pruning (Zhu & Gupta 2017, eq. 1) falls with a cubic; a little earlier is a little milder
POWER = 4
#: what is aimed at, over the target: what was pruned too much hardly comes back
ABOVE = 1.02
#: how much faster than the plan itself deviations from it are to go, at most and in relation to
#: the number of steps: moments remember ten of them
HASTE, HASTE_OF_STEPS = 15.0, 1 / 20
#: share of the connections that come and go per training where the plan is level
UNREST = 0.3
#: how much more a large deviation counts, and how much of the plan's pace is taken over in advance
BOOST, AHEAD = 10.0, 0.25
#: a look changes the logarithm of the setting by this at most, and the setting stays within
STEP, LEAST, MOST = 1.0, 1e-12, 1e3


def planned(place: float, target: float) -> tuple[float, float]:
    """Connectivity at a place (0 to 1) of the training, and how fast it is to fall there, per
    training: from 1 to the target along a parabola of the fourth order, then level."""
    left = 1 - min(place / REACH, 1.0)
    return target + (1 - target) * left**POWER, POWER * (1 - target) / REACH * left ** (POWER - 1)


class Steered(Optimizer):
    """Base of methods that end at `target_connectivity`, where that is not 0.

    At the start of every so many steps the setting STEERS is moved (see `move`). All that there is
    to the steering are the setting itself, the number `lag`, and how many steps were made and are
    to be made in all, which `begin` has to say.
    """

    #: a setting that is positive, prunes more when it is larger, and is among IN_RATES
    STEERS: ClassVar[str] = ""
    NUMBERS: ClassVar[tuple[str, ...]] = ("lag",)

    target_connectivity: float
    #: logarithm of the connectivity over the planned one, at the last look
    lag: float = 0.0
    _length: int = 0

    @property
    def steered(self) -> str | None:
        """Name of the setting that moves by itself; None where none does."""
        return self.STEERS if self.target_connectivity else None

    def begin(self, network: Any, steps: int) -> None:
        self._length = steps

    def move(self, lag: float, place: float, since: float, target: float) -> float:
        """By how much the logarithm of the setting is to change.

        Grad R's says how fast connections go, not how many there are. So this is a PI controller in
        the logarithms of both, whose gains follow the pace of the plan: where that is slow, a
        little less of the setting makes all the difference.

        Parameters
        ----------
        lag : logarithm of the connectivity over the planned one.
        place, since : share of the training that is over, and since the last look.
        target : where the plan ends.
        """
        (wanted, fall), (before, fell) = (planned(at, target) for at in (place, place - since))
        flow, flow_before = fall + UNREST * wanted, fell + UNREST * before
        haste = min(HASTE, HASTE_OF_STEPS * self._length)
        gain = haste * wanted / flow
        straight = gain * (lag - self.lag)
        summed = gain * haste / 4 * since * lag * (1 + BOOST * abs(lag))
        return straight + summed + AHEAD * math.log(flow / flow_before)

    def advance(self) -> None:
        if self.target_connectivity:
            # before the step, so that what a checkpoint holds is what made its weights
            self._look()
        super().advance()

    def _look(self) -> None:
        if self._length < 1:
            raise ConfigError(
                f"target_connectivity (={self.target_connectivity:g}) needs the length of the "
                "training: call optimizer.begin(network, steps) before the first step"
            )
        every = max(1, self._length // LOOKS)
        if self.step_count % every or not self.step_count:
            return
        target = min(ABOVE * self.target_connectivity, 1.0)
        place, since = self.step_count / self._length, every / self._length
        # of a network without a connection there is no logarithm
        least = 0.5 / max(sum(p.size for p in self.counts), 1)
        lag = math.log(max(self.connectivity(), least) / planned(place, target)[0])
        # what is missing does not come back by more of the setting, only by less
        most = STEP if lag > 0 else 0.0
        move = max(-STEP, min(most, self.move(lag, place, since, target)))
        moved = getattr(self, self.STEERS) * math.exp(move)
        setattr(self, self.STEERS, max(LEAST, min(MOST, moved)))
        self.lag = lag
