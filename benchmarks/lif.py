"""LIF neurons alone, at the setting of the open-neuromorphic benchmark: 16k neurons, 500 steps,
batch 16; forward, and forward with backward.

    python benchmarks/lif.py --device cuda --peer-python peers/bin/python [--json FILE]

Neurons do little arithmetic, so the memory's speed bounds them. Beside the time stands the share
of it that is reached: bytes that have to move (input and spikes, in the backward pass two inputs
and the gradient) over the time, over what a plain copy moves on the same device in the same run.
Every contender gets the same numbers and is compared with the equations in float64 on some neurons.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from harness import installed
from report import machine, number, table
from worker import versions

HERE = Path(__file__).resolve().parent
#: contender -> (module with `make`, environment)
CONTENDERS: dict[str, tuple[str, dict[str, str]]] = {
    "snnr": ("lif_snnr", {}),
    "spikingjelly": ("peers.lif", {}),
    # SpikingJelly 2 chooses its kernels itself unless it is told
    "spikingjelly torch": ("peers.lif", {"SJ_LIF_CUDA_IMPLEMENTATION": "torch"}),
    "eager": ("peers.lif", {}),
}
PACKAGE = {"spikingjelly": "spikingjelly", "spikingjelly torch": "spikingjelly", "eager": "eager"}
#: spikes that may lie elsewhere than in float64, as a share of all, and how far the gradient may be
WRONG_SPIKES, WRONG_GRADIENT = 1e-3, 5e-2
CHECKED = 64

Array = np.ndarray[Any, Any]


class Sizes(NamedTuple):
    """What is simulated."""

    steps: int
    batch: int
    neurons: int

    @property
    def count(self) -> int:
        """Neurons times steps times batch."""
        return self.steps * self.batch * self.neurons


#: the setting, and one that two cores can bear
DEFAULT = {"cuda": Sizes(500, 16, 16_384), "cpu": Sizes(50, 16, 1024)}


class Lif(Protocol):
    """A contender: currents and gradients ``[T, N, C]`` float32 lie on its device."""

    notes: str
    #: bytes of one spike
    spike: int

    def forward(self) -> Any:
        """Spikes; nothing is kept for a backward pass."""

    def both(self) -> Any:
        """Spikes, then the gradient of the currents."""

    def results(self) -> tuple[Array, Array]:
        """Spikes and gradient ``[T, CHECKED]`` of the first neurons of the first sample."""

    def wait(self) -> None:
        """Until the device is done."""

    def bandwidth(self) -> float:
        """Bytes per second, read and written, of a large copy."""

    def peak(self) -> int:
        """Bytes of the card's memory; 0 on a CPU."""


def numbers(sizes: Sizes) -> tuple[Array, Array]:
    """Currents and gradients of spikes: the same for everybody."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal(sizes, np.float32)
    x += np.float32(0.3)
    return x, rng.standard_normal(sizes, np.float32)


def exact(x: Array, dout: Array) -> tuple[Array, Array]:
    """Spikes and gradient of currents ``[T, C]``, in float64: tau 2, threshold 1, hard reset to 0
    that no gradient passes, derivative of arctan."""
    x, dout = x.astype(np.float64), dout.astype(np.float64)
    h, v = np.empty_like(x), np.zeros(x.shape[1])
    for t in range(len(x)):
        h[t] = v + (x[t] - v) / 2
        v = h[t] * (h[t] < 1)
    dx, dv = np.empty_like(x), np.zeros(x.shape[1])
    for t in reversed(range(len(x))):
        dh = dout[t] / (1 + (math.pi * (h[t] - 1)) ** 2) + dv * (h[t] < 1)
        dx[t] = dv = dh / 2
    return (h >= 1).astype(np.float64), dx


def wrong(found: tuple[Array, Array], right: tuple[Array, Array]) -> list[str]:
    """What is too far from float64, in words."""
    told = []
    spikes = float(np.mean(found[0] != right[0]))
    if not spikes <= WRONG_SPIKES:
        told.append(f"{100 * spikes:.2g} % of the spikes are not those of float64")
    apart = float(np.linalg.norm(found[1] - right[1]) / np.linalg.norm(right[1]))
    if not apart <= WRONG_GRADIENT:
        told.append(f"the gradient is {apart:.2g} away from float64")
    return told


def moved(sizes: Sizes, spike: int) -> dict[str, int]:
    """Bytes that have to move: float32 currents in and spikes out; for the gradient the currents
    (or what was kept instead) and the gradient of the spikes in, that of the currents out."""
    forward = sizes.count * (4 + spike)
    return {"forward": forward, "both": forward + sizes.count * 12}


def timed(action: Callable[[], Any], wait: Callable[[], None], rounds: int, count: int) -> Array:
    """Seconds of one call, for each round of ``count`` that is waited for once."""
    for _ in range(2):
        action()
    wait()
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(count):
            action()
        wait()
        taken.append((time.perf_counter() - start) / count)
    return np.array(taken)


def child(args: argparse.Namespace) -> dict[str, Any]:
    """What one contender takes, in a process of its own."""
    sizes = Sizes(args.steps, args.batch, args.neurons)
    x, dout = numbers(sizes)
    part = np.s_[:, 0, :CHECKED]
    right = exact(x[part], dout[part])
    module = importlib.import_module(CONTENDERS[args.contender][0])
    made: Lif = module.make(args.contender.split()[0], x, dout, args.device)
    told: dict[str, Any] = {
        "notes": made.notes,
        "versions": versions(PACKAGE.get(args.contender, "snnr")),
        "fires": float(right[0].mean()),
        "wrong": wrong(made.results(), right),
        "bandwidth": made.bandwidth(),
    }
    for name, amount in moved(sizes, made.spike).items():
        action = made.forward if name == "forward" else made.both
        once = float(timed(action, made.wait, 1, 1)[0])
        # a turn of some tenths of a second
        count = max(1, min(50, int(0.2 / max(once, 1e-6))))
        taken = timed(action, made.wait, args.rounds, count)
        median = statistics.median(taken)
        told[name] = {
            "median_ms": 1e3 * median,
            "least_ms": 1e3 * float(taken.min()),
            "most_ms": 1e3 * float(taken.max()),
            "bytes": amount,
            "bytes_per_second": amount / median,
        }
    told["peak_bytes"] = made.peak()
    return told


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--device", choices=["cpu", "cuda"], default="cpu")
    add("--peer-python", default=sys.executable, help="interpreter that has the peers")
    add("--peer", action="append", default=[], choices=list(CONTENDERS), help="default: all")
    add("--steps", type=int, help="time steps (500; on a CPU 50)")
    add("--batch", type=int, help="samples (16)")
    add("--neurons", type=int, help="neurons (16384; on a CPU 1024)")
    add("--rounds", type=int, default=7, help="turns of every contender")
    add("--json", type=Path, help="write everything measured to this file")
    add("--contender", choices=list(CONTENDERS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    for name, value in DEFAULT[args.device]._asdict().items():
        setattr(args, name, getattr(args, name) or value)
    return args


def ask(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Run a contender's process; what it told, or the reason why not."""
    python = sys.executable if name == "snnr" else args.peer_python
    if name != "snnr" and (trouble := installed(python, PACKAGE[name])):
        return {"left_out": trouble}
    sizes = [f"--{key}={getattr(args, key)}" for key in (*Sizes._fields, "rounds", "device")]
    done = subprocess.run(
        [python, str(HERE / "lif.py"), "--contender", name, *sizes],
        env={**os.environ, **CONTENDERS[name][1]}, stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        return {"failed": f"exit status {done.returncode}; its messages are above"}
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def rows(told: dict[str, dict[str, Any]], bandwidth: float) -> list[list[str]]:
    """A line for each contender that ran."""
    lines = []
    for name, one in told.items():
        if "forward" not in one:
            continue
        line = [name]
        for part in ("forward", "both"):
            share = one[part]["bytes_per_second"] / bandwidth
            line += [number(one[part]["median_ms"]), f"{100 * share:.0f} %"]
        lines.append([*line, "NO" if one["wrong"] else "yes"])
    return lines


def main() -> int:
    """Entry point."""
    args = arguments()
    if args.contender:
        print(json.dumps(child(args)))
        return 0
    # on a CPU SpikingJelly has but one kind of kernels
    usual = [name for name in CONTENDERS if args.device == "cuda" or not CONTENDERS[name][1]]
    told = {name: ask(name, args) for name in args.peer or usual}
    bandwidth = max((one["bandwidth"] for one in told.values() if "forward" in one), default=0.0)
    print(f"LIF: {args.neurons} neurons, {args.steps} steps, batch {args.batch}, {args.device}")
    head = ["contender", "forward ms", "of copy", "with backward ms", "of copy", "agrees"]
    print(table(head, rows(told, bandwidth)))
    print(f"a copy moves {bandwidth / 1e9:.0f} GB/s, counting bytes read and bytes written")
    failed = False
    for name, one in told.items():
        for words in one.get("wrong", []):
            print(f"WRONG: {name}: {words}")
        for key in ("left_out", "failed"):
            if key in one:
                print(f"note: {name}: {key.replace('_', ' ')}, {one[key]}")
        failed |= bool(one.get("wrong")) or (name == "snnr" and "forward" not in one)
    if args.json:
        content = {
            "machine": machine(),
            "device": args.device,
            "steps": args.steps,
            "batch": args.batch,
            "neurons": args.neurons,
            "copy_bytes_per_second": bandwidth,
            "contenders": told,
        }
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(content, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
