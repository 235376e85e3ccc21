"""Taking away what cannot matter: channels that never fire, and channels that nothing reads.

Outputs stay what they are. Whether a neuron can fire follows from the largest current that its
inputs, spikes or averages of spikes in 0..1, could drive it with: charge and reset are monotone in
current and potential, also in floating point, so that a neuron that stays below its threshold under
that constant current stays below it under any. A neuron without connections has a constant current,
its offset: it goes only if that never makes it fire.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from snnr.functional import Neuron
from snnr.sparse.form import Float, Form, Stage, without_columns, without_rows

#: a potential that still rises after so many steps counts as one that may reach the threshold
_PATIENCE = 10_000
#: what rounding may add to a current, as a part of the sum of the sizes of its terms
_ROUNDING = 1e-5

Flags = NDArray[np.bool_]


def never_fires(neuron: Neuron, current: Float) -> Flags:
    """Whether neurons under a constant current never fire, however long it lasts.

    Until the first spike the potential goes one way only: from the step on at which it does not
    rise any more it never will.
    """
    decay, drive, rest = (np.float32(x) for x in (neuron.decay, neuron.drive, neuron.rest))
    v = np.full(current.shape, neuron.v_reset, np.float32)
    fires = np.zeros(current.shape, bool)
    over = np.zeros(current.shape, bool)
    for _ in range(_PATIENCE):
        h = decay * v + drive * current + rest
        fires |= ~over & ~(h < np.float32(neuron.v_threshold))
        over |= fires | (h <= v)
        if over.all():
            break
        v = np.where(over, v, h)
    return over & ~fires


def largest_current(stage: Stage, analog: bool) -> Float:
    """An upper bound of the current of each channel; infinite where the input has none."""
    weight = stage.weight
    assert weight is not None
    count = weight.shape[0]
    gain = np.ones(count) if stage.gain is None else stage.gain.astype(np.float64)
    offset = np.zeros(count) if stage.offset is None else stage.offset.astype(np.float64)
    rows = weight.rows()
    terms = gain[rows] * weight.data
    top = np.bincount(rows, np.maximum(terms, 0), count)
    sizes = np.bincount(rows, np.abs(terms), count)
    bound = offset + top
    bound += _ROUNDING * np.where(sizes > 0, sizes + np.abs(offset), 0)
    if analog:
        bound[np.diff(weight.indptr) > 0] = np.inf
    with np.errstate(over="ignore"):
        return np.nextafter(bound.astype(np.float32), np.float32(np.inf), where=sizes > 0,
                            out=bound.astype(np.float32))  # fmt: skip


def pruned(form: Form) -> Form:
    """The form without channels that cannot matter."""
    stages = list(form.stages)
    silent, unneeded = {}, {}
    analog = True
    for i in range(len(stages) - 1):
        stage = stages[i]
        if stage.neuron is not None:
            removable = stage.weight is not None and _reads_channels(stages[i + 1], stage)
            if removable:
                with np.errstate(over="ignore", invalid="ignore"):
                    dead = never_fires(stage.neuron, largest_current(stage, analog))
                _keep_one(dead)
                if dead.any():
                    silent[stage.neuron_name] = stage.kept[dead]
                    stages[i] = without_rows(stage, ~dead)
                    stages[i + 1] = without_columns(stages[i + 1], ~dead)
            analog = False
        elif stage.weight is not None or stage.gain is not None:
            analog = True
    for i in range(len(stages) - 2, -1, -1):
        stage, after = stages[i], stages[i + 1]
        if stage.weight is None or not _reads_channels(after, stage):
            continue
        assert after.weight is not None
        per = int(np.prod(after.weight.shape[1:])) // stage.output_shape[0]
        unread = np.ones(stage.output_shape[0], bool)
        unread[after.weight.indices // per] = False
        _keep_one(unread)
        if unread.any():
            name = stage.neuron_name or stage.weight_name
            unneeded[name] = stage.kept[unread]
            stages[i] = without_rows(stage, ~unread)
            stages[i + 1] = without_columns(after, ~unread)
    return replace(form, stages=tuple(stages), silent=silent, unneeded=unneeded)


def _reads_channels(stage: Stage, before: Stage) -> bool:
    """Whether a stage reads the one before through weights alone."""
    return stage.weight is not None and before.vote == 1


def _keep_one(gone: Flags) -> None:
    """A layer of nothing is none: one of its channels stays."""
    if gone.all() and gone.size:
        gone[0] = False
