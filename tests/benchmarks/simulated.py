"""A tiny network through snnr's side of the benchmarks, on whatever "cuda" is here; prints JSON.

NUMBA_ENABLE_CUDASIM=1 python tests/benchmarks/simulated.py FOLDER
"""

import dataclasses
import json
import sys
from functools import partial
from pathlib import Path

import contender
import launches
import lif
import lif_snnr
import numpy as np
import workload
from networks import WORKS

import snnr

INPUTS, HIDDEN = 12, 6
BATCH, STEPS = 3, 2


def tiny() -> workload.Workload:
    """The network mnist_fc with few neurons, which fire."""
    rng = np.random.default_rng(0)
    work = dataclasses.replace(
        WORKS["mnist_fc"], image=(1, 4, 3), batch=BATCH, batches=2, timesteps=STEPS
    )
    params = {
        "fc1.weight": 2 * rng.standard_normal((HIDDEN, INPUTS)).astype(np.float32),
        "fc2.weight": 2 * rng.standard_normal((10, HIDDEN)).astype(np.float32),
    }
    images = rng.standard_normal((2, BATCH, 1, 4, 3)).astype(np.float32)
    onehot = np.eye(10, dtype=np.float32)[rng.integers(0, 10, (2, BATCH))]
    mask = np.zeros((BATCH, 0), np.uint8)
    return workload.Workload(work, 0.1, 1.0, images, onehot, mask, params, {}, {})


def main() -> None:
    small = partial(snnr.models.mnist_fc, input_shape=(1, 4, 3), hidden=HIDDEN)
    snnr.models.MODELS["mnist_fc"] = small
    path = Path(sys.argv[1]) / "tiny.npz"
    workload.save(path, tiny())
    found = launches.measure(path, "cuda", turns=1, steps=2, warm=3)
    records = {}
    for device in ("cuda", "cpu"):
        made = contender.build(workload.load(path), device)
        first = dataclasses.asdict(made.probe(0))
        losses = []
        for index in range(4):
            made.step(index)
            losses.append(made.wait())
        # after recorded steps, one that is looked at
        last = dataclasses.asdict(made.probe(4))
        records[device] = {"first": first, "losses": losses, "last": last, **made.memory()}
    records["kind"] = contender.build(workload.load(path), "cuda").notes
    x, dout = lif.numbers(lif.Sizes(5, 2, 11))
    alone = lif_snnr.make("snnr", x, dout, "cuda")
    part = np.s_[:, 0, : lif.CHECKED]
    wrong = lif.wrong(alone.results(), lif.exact(x[part], dout[part]))
    told = {"launches": found, "records": records, "lif": wrong, "copy": alone.bandwidth()}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
