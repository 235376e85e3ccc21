"""Do the peers reproduce the recorded training step in tests/fixtures/mnist_fc_step.h5?

python benchmarks/verify_peers.py --peer-python PATH/TO/PEERS/bin/python
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
import workload as workloads
from harness import Process, pick
from networks import WORKS
from record import Record, distance, sample
from report import table

FIXTURE = workloads.HERE.parent / "tests" / "fixtures" / "mnist_fc_step.h5"


def recorded() -> tuple[workloads.Workload, Record]:
    """The fixture as a workload, and as the record a contender should give."""
    with h5py.File(FIXTURE) as file:
        attrs = file.attrs
        pixels = file["images"][:].astype(np.float32) / np.float32(255)
        images = (pixels - np.float32(attrs["mean"])) / np.float32(attrs["std"])
        work = dataclasses.replace(
            WORKS["mnist_fc"],
            timesteps=int(attrs["T"]),
            batch=len(images),
            batches=1,
            lr=float(attrs["lr"]),
            prior=float(attrs["prior"]),
            sparsity=float(attrs["sparsity"]),
        )
        load = workloads.Workload(
            work=work,
            density=float(file["hidden_spikes"][:].mean()),
            connectivity=1.0,
            images=images.reshape(1, -1, 1, 28, 28),
            onehot=np.eye(10, dtype=np.float32)[file["labels"][:]][None],
            mask=np.zeros((len(images), 0), np.uint8),
            params={f"{n}.weight": file[f"{n}_weight"][:] for n in ("fc1", "fc2")},
            theta={},
            sign={},
        )
        record = Record(
            loss=float(file["loss"][()]),
            spikes={"lif1": load.density, "lif2": float(file["rate"][:].mean())},
            grads={f"{n}.weight": sample(file[f"{n}_grad"][:]) for n in ("fc1", "fc2")},
            weights={f"{n}.weight": sample(file[f"{n}_weight_after"][:]) for n in ("fc1", "fc2")},
        )
    return load, record


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--peer", action="append", default=[])
    args = parser.parse_args()
    load, right = recorded()
    chosen, notes = pick(args.peer, "mnist_fc", args.peer_python)
    rows, bad = [], False
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fixture.npz"
        workloads.save(path, load)
        for name, python in chosen:
            process = Process(name, python, path, os.sched_getaffinity(0))
            told = process.probe()
            process.close()
            loss = abs(told.loss / right.loss - 1)
            spikes = max(abs(told.spikes[n] / right.spikes[n] - 1) for n in right.spikes)
            grad = max(distance(told.grads[n], right.grads[n]) for n in right.grads)
            weight = max(
                float(np.abs(np.array(told.weights[n]) - right.weights[n]).max())
                for n in right.weights
            )
            good = loss < 1e-5 and spikes < 1e-3 and grad < 1e-4 and weight < 1e-3 * load.work.lr
            bad |= not good
            errors = [f"{value:.1e}" for value in (loss, spikes, grad, weight)]
            rows.append([name, *errors, "yes" if good else "NO"])
    head = ["contender", "loss rel.", "densities rel.", "gradients rel.", "weights abs.", "agrees"]
    print(table(head, rows))
    print("\n".join(notes))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
