"""The compiled network beside dense PyTorch and scipy.sparse, from one image to a batch.

    python benchmarks/inference.py --peer-python peers/bin/python [--json FILE]
    python benchmarks/inference.py --checkpoint runs/mnist-grad-r-prior0.05-seed0 --peer-python ...

Networks are pruned at random to the wanted connectivity and scaled, layer by layer, so that every
layer fires at the wanted density (the first convolution, of few weights, stays whole); or they come
from checkpoints. Contenders take turns, one process each, the others asleep; a call is timed from
the images, in memory, to the rates.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from harness import HERE, ContenderError, Quiet, installed, turn
from networks import WORKS
from report import machine, number, table
from workload import CALIBRATION_IMAGES, Array, _Maker, _mnist

#: work -> connectivities, batches
POINTS: dict[str, tuple[tuple[float, ...], tuple[int, ...]]] = {
    "mnist_fc": ((0.01, 0.05, 0.3), (1, 128)),
    "csnn": ((0.02, 0.3), (1, 32)),
}
#: contender -> whether it runs in the peers' interpreter
CONTENDERS = {"snnr": False, "dense": False, "scipy": False, "eager": True, "compile": True}
ONLY = {"scipy": ("mnist_fc",)}
#: seconds of calls in one turn
TURN = 0.25


class _Still(_Maker):
    """Draws a network for evaluation: BatchNorm keeps the statistics of the images it saw."""

    def shifted(self, layer: Any, x: Array, wanted: float) -> Array:
        axes = tuple(range(x.ndim - 1))
        self.params[f"{layer.name}.running_mean"] = x.mean(axis=axes).astype(np.float32)
        self.params[f"{layer.name}.running_var"] = x.var(axis=axes).astype(np.float32)
        return super().shifted(layer, x, wanted)


def write(path: Path, name: str, params: dict[str, Array], images: Array, T: int) -> None:
    """What every contender loads."""
    meta = np.array(json.dumps({"work": name, "T": T}))
    np.savez(path, allow_pickle=False, meta=meta, images=images, **params)


def draw(name: str, connectivity: float, density: float, path: Path) -> None:
    """A random network, pruned and scaled."""
    work = WORKS[name]
    maker = _Still(work, density, connectivity, 1)
    images, _ = _mnist(max(POINTS[name][1]))
    # half of what dropout would double
    features = max(work.features(), 1)
    count = min(CALIBRATION_IMAGES[name], len(images))
    maker.walk(images[:count], np.full((count, features), 0.5, np.float32))
    write(path, name, maker.params, images, work.timesteps)


def stored(folder: str, path: Path) -> tuple[str, float]:
    """A trained network; returns its work and connectivity."""
    import snnr

    found = snnr.load(folder, with_optimizer=False)
    kinds = [layer.kind for layer in found.network]
    matching = [n for n, w in WORKS.items() if len(w.layers) == len(kinds) and n in POINTS]
    if not matching:
        raise SystemExit(f"{folder} is none of {', '.join(POINTS)}")
    name = matching[0]
    params = {}
    for layer, made in zip(WORKS[name].layers, found.network, strict=True):
        for short, array in made.arrays().items():
            params[f"{layer.name}.{short}"] = array.numpy()
    images, _ = _mnist(max(POINTS[name][1]))
    write(path, name, params, images, int(found.network.T or 1))
    return name, found.connectivity


class Runner:
    """A contender's process; `steps` is what `harness.turn` calls."""

    def __init__(self, name: str, python: str, path: Path, batch: int, cpus: set[int]) -> None:
        self.name, self.times = name, []  # type: ignore[var-annotated]
        environment = dict(os.environ)
        for variable in ("OMP", "MKL", "OPENBLAS", "NUMBA"):
            environment[f"{variable}_NUM_THREADS"] = str(len(cpus))
        self.process = subprocess.Popen(
            [python, str(HERE / "inference_worker.py"), name, path, str(batch), str(len(cpus))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
            preexec_fn=lambda: os.sched_setaffinity(0, cpus),
        )  # fmt: skip
        self.rates = np.array(self._answer()["rates"])

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise ContenderError(f"the {self.name} process ended (status {self.process.wait()})")
        return dict(json.loads(line))

    def steps(self, count: int) -> list[float]:
        """Seconds per call, of calls for `count` milliseconds."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"seconds": count / 1e3}) + "\n")
        self.process.stdin.flush()
        return list(self._answer()["times"])

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=30)


def measure(
    name: str, connectivity: float, path: Path, batch: int, args: argparse.Namespace, cpus: set[int]
) -> list[dict[str, Any]]:
    """All contenders at one point, in turns."""
    runners: list[Runner] = []
    quiet = Quiet()
    try:
        for contender, peer in CONTENDERS.items():
            if args.peer and contender not in ("snnr", *args.peer):
                continue
            if name not in ONLY.get(contender, (name,)):
                continue
            if peer and (trouble := installed(args.peer_python, contender)):
                print(f"note: {contender}: left out, {trouble}", file=sys.stderr)
                continue
            python = args.peer_python if peer else sys.executable
            runners.append(Runner(contender, python, path, batch, cpus))
        for _ in range(args.rounds):
            for runner in runners:
                others = [other for other in runners if other is not runner]
                times, part = turn(runner, others, int(TURN * 1e3), cpus)  # type: ignore[arg-type]
                runner.times += times
                quiet.add(part)
    finally:
        for runner in runners:
            runner.close()
    mine = runners[0]
    told = []
    for runner in runners:
        off = int((runner.rates != mine.rates).any(axis=1).sum())
        told.append(
            {
                "work": name,
                "connectivity": connectivity,
                "batch": batch,
                "contender": runner.name,
                "median_us": 1e6 * float(np.median(runner.times)),
                "min_us": 1e6 * float(np.min(runner.times)),
                "calls": len(runner.times),
                "images_with_other_rates": off,
                "cores_used_by_others": quiet.shares(),
            }
        )
    return told


def show(points: list[dict[str, Any]]) -> None:
    """Print a point as a table."""
    first = points[0]
    print(
        f"\n{first['work']}, {100 * first['connectivity']:.3g} % of the weights, batch "
        f"{first['batch']}"
        + ("" if max(first["cores_used_by_others"].values()) <= 0.1 else "   NOT QUIET")
    )
    rows = [
        [
            p["contender"], number(p["median_us"]), number(p["min_us"]),
            f"{p['median_us'] / first['median_us']:.2f}x", f"{p['min_us'] / first['min_us']:.2f}x",
            str(p["images_with_other_rates"]),
        ]
        for p in points
    ]  # fmt: skip
    head = ["contender", "median us", "min us", "median / snnr", "min / snnr", "other rates"]
    print(table(head, rows), flush=True)


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--work", action="append", choices=list(POINTS), help="default: all")
    add("--connectivity", action="append", type=float, help="share of weights; default: several")
    add("--batch", action="append", type=int, help="images per call; default: one, and a batch")
    add("--density", type=float, default=0.08, help="firing rate of every layer")
    add("--checkpoint", action="append", help="a trained network instead of random ones")
    add("--peer", action="append", choices=list(CONTENDERS), help="default: all")
    add("--peer-python", default=sys.executable, help="interpreter that has PyTorch")
    add("--rounds", type=int, default=6, help="turns of every contender")
    add("--threads", type=int, default=2, help="cores to use")
    add("--json", type=Path, help="write everything measured to this file")
    args = parser.parse_args()
    cpus = set(sorted(os.sched_getaffinity(0))[: args.threads])
    points = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.npz")
        for source in args.checkpoint or [None]:
            for name in [None] if source else args.work or list(POINTS):
                for share in [None] if source else args.connectivity or POINTS[name][0]:
                    if source:
                        name, share = stored(source, path)
                    else:
                        draw(name, share, args.density, path)
                    for batch in args.batch or POINTS[name][1]:
                        told = measure(name, share, path, batch, args, cpus)
                        show(told)
                        points += told
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        content = {"machine": machine(), "threads": args.threads, "points": points}
        args.json.write_text(json.dumps(content, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
