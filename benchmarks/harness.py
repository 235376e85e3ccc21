"""Runs contenders side by side: one process each, in turns, the others asleep."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from peers import CARD_ONLY, CONTENDERS, DEFAULT, ONLY, PACKAGES
from record import Record

HERE = Path(__file__).resolve().parent
TICKS = os.sysconf("SC_CLK_TCK")
# an OpenMP pool keeps spinning for some milliseconds after its last loop
SETTLE = 0.05
# share of one core that others may use before a turn counts as disturbed
DISTURBED = 0.1


class ContenderError(Exception):
    """A contender's process ended or cannot be started."""


def cpu_seconds(pid: int) -> float:
    """CPU time a process has used."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def busy_seconds(cpus: set[int]) -> float:
    """CPU time that anybody has used on ``cpus`` since the machine started."""
    total = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cpus:
            user, nice, system, _idle, _wait, irq, softirq, steal = map(int, fields[:8])
            total += user + nice + system + irq + softirq + steal
    return total / TICKS


class Process:
    """A contender's worker process and what it has told so far.

    ``times``: seconds of steps, each waited for; ``together``: seconds per step of whole turns
    that were waited for once (on a card only). Without ``wait`` its first line, which says what it
    is (``ready``), is still to be read.
    """

    def __init__(
        self,
        name: str,
        python: str,
        workload: Path,
        cpus: set[int],
        device: str = "cpu",
        tf32: bool = False,
        wait: bool = True,
    ) -> None:
        self.name = name
        self.device = device
        self.tf32 = tf32
        self.times: list[float] = []
        self.together: list[float] = []
        self.loss = float("nan")
        self.first: Record | None = None
        self.last: Record | None = None
        self.memory: dict[str, int] = {}
        environment = dict(os.environ)
        available = os.sched_getaffinity(0)
        if cpus < available:
            for variable in ("OMP", "MKL", "OPENBLAS", "NUMBA"):
                environment[f"{variable}_NUM_THREADS"] = str(len(cpus))
        command = [python, str(HERE / "worker.py"), name, str(workload), "--device", device]
        command += ["--tf32"] if tf32 else []
        self.process = subprocess.Popen(
            [*command, "--threads", str(len(cpus))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            preexec_fn=lambda: os.sched_setaffinity(0, cpus),
        )
        self.ready = self.answer() if wait else {}

    def answer(self) -> dict[str, Any]:
        """The next line the worker writes."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            raise ContenderError(f"the {self.name} process ended (exit status {code})")
        message: dict[str, Any] = json.loads(line)
        return message

    def ask(self, order: str, **more: int) -> dict[str, Any]:
        """Give an order and wait for the answer."""
        self.tell(order, **more)
        return self.answer()

    def tell(self, order: str, **more: int) -> None:
        """Give an order."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps({"do": order, **more}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise ContenderError(f"the {self.name} process has ended") from error

    def probe(self) -> Record:
        """One step, looked at."""
        return Record(**self.ask("probe"))

    def steps(self, count: int) -> list[float]:
        """Run untimed steps, which warm the caches others have emptied, and ``count`` timed."""
        if self.device == "cuda":
            # clocks and the driver's queues settle within a few steps
            self.ask("steps", count=min(count, 3))
            answer = self.ask("steps", count=count)
            self.loss = answer["loss"]
            self.together.append(answer["together"] / count)
            return list(answer["times"])
        answer = self.ask("steps", count=count + 1)
        self.loss = answer["loss"]
        return list(answer["times"][1:])

    @property
    def label(self) -> str:
        """Name and precision."""
        return f"{self.name} tf32" if self.tf32 else self.name

    @property
    def quoted(self) -> list[float]:
        """The seconds per step that are quoted: of whole turns where the device runs beside the
        program, of single steps on a CPU."""
        return self.together or self.times

    def close(self) -> None:
        """End the process."""
        if self.process.poll() is None:
            assert self.process.stdin is not None
            try:
                self.process.stdin.write('{"do": "quit"}\n')
                self.process.stdin.close()
                self.process.wait(timeout=30)
            except (OSError, ValueError, subprocess.TimeoutExpired):
                self.process.kill()
                self.process.wait()


@dataclasses.dataclass
class Quiet:
    """How quiet it was: CPU time of strangers and of waiting contenders, as shares of the
    time measured (1 = one core busy all the time)."""

    wall: float = 0.0
    strangers: float = 0.0
    waiting: float = 0.0
    discarded: int = 0

    def disturbed(self) -> bool:
        """Whether somebody else's work shows in the times."""
        return max(self.shares().values()) > DISTURBED

    def add(self, other: Quiet) -> None:
        """Sum up."""
        self.wall += other.wall
        self.strangers += other.strangers
        self.waiting += other.waiting
        self.discarded += other.discarded

    def shares(self) -> dict[str, float]:
        """The two shares."""
        wall = max(self.wall, 1e-9)
        return {"strangers": self.strangers / wall, "waiting": self.waiting / wall}


def turn(
    running: Process, others: list[Process], count: int, cpus: set[int]
) -> tuple[list[float], Quiet]:
    """Let one contender run ``count`` timed steps; tell who else used the processors."""
    time.sleep(SETTLE)
    idle = [cpu_seconds(p.process.pid) for p in others]
    own, busy = cpu_seconds(running.process.pid), busy_seconds(cpus)
    start = time.perf_counter()
    times = running.steps(count)
    wall = time.perf_counter() - start
    waiting = sum(cpu_seconds(p.process.pid) for p in others) - sum(idle)
    own = cpu_seconds(running.process.pid) - own
    strangers = max(0.0, busy_seconds(cpus) - busy - own - waiting)
    return times, Quiet(wall, strangers, waiting)


def installed(python: str, name: str) -> str:
    """Why a peer cannot run under ``python``; empty when it can."""
    modules = PACKAGES[name]
    code = "; ".join(f"import {module}" for module in modules)
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"exit status {done.returncode}"


def pick(
    names: list[str], work: str, peer_python: str, device: str = "cpu"
) -> tuple[list[tuple[str, str]], list[str]]:
    """The contenders to run as (name, interpreter), and notes on those left out.

    ``names`` empty means snnr and every peer that is installed and meant for the device.
    """
    chosen: list[tuple[str, str]] = []
    notes: list[str] = []
    for name in names or ["snnr", *DEFAULT[device]]:
        if name.partition("-")[0] == "snnr":
            chosen.append((name, sys.executable))
            continue
        if name not in CONTENDERS:
            raise ContenderError(f"no peer {name!r}; there are {', '.join(CONTENDERS)}")
        if work not in ONLY.get(name, (work,)):
            notes.append(f"{name}: only on {', '.join(ONLY[name])}")
            continue
        if name in CARD_ONLY and device != "cuda":
            notes.append(f"{name}: only on a card")
            continue
        trouble = installed(peer_python, name)
        if trouble:
            notes.append(f"{name}: left out, {trouble}")
        else:
            chosen.append((name, peer_python))
    return chosen, notes
