"""Whether a process hangs, told from what it does and not from the clock alone.

On a busy machine a process may wait long for a core. So its own CPU time is limited; a process that
sleeps is noticed by not being runnable, look after look; the number of looks has a limit that is
much longer, and is all that is left where there is no /proc. Looks instead of seconds, because
whoever looks may have been paused as well.
"""

import os
import subprocess
from pathlib import Path

#: seconds between two looks
TICK = 1.0
_PROC = Path("/proc/self/stat").exists()
_HERTZ = os.sysconf("SC_CLK_TCK") if _PROC else 1


class Patience:
    """Of one process.

    cpu : seconds of CPU time that it may take, over all its threads.
    still : looks in a row at which it may sleep without having computed in between.
    most : looks in all.
    """

    def __init__(self, pid: int, cpu: float, still: int = 120, most: float = 1800) -> None:
        self._pid = pid
        self._limits = cpu, still, most
        self.again()

    def again(self) -> None:
        """It has done something: every limit begins anew."""
        self._first = self._last = cpu_seconds(self._pid)
        self._still = self._looks = 0

    def lost(self) -> str | None:
        """What is wrong with it, or None; to be asked once a tick."""
        cpu, still, most = self._limits
        now = cpu_seconds(self._pid)
        moved = now > self._last or not _sleeps(self._pid)
        self._still = 0 if moved else self._still + 1
        self._last = now
        self._looks += 1
        if now - self._first > cpu:
            return f"computes for more than {cpu:.0f} s"
        if self._still >= still:
            return f"sleeps for {still} looks in a row"
        if self._looks > most:
            return f"does not end in {most:.0f} looks, with {now - self._first:.1f} s to compute"
        return None


def ended(process: "subprocess.Popen[str]", cpu: float, most: float = 1800) -> tuple[str, str]:
    """Stdout and stderr of a process; one that hangs is ended, which shows in its exit code."""
    patience = Patience(process.pid, cpu, most=most)
    while True:
        try:
            return process.communicate(timeout=TICK)
        except subprocess.TimeoutExpired:
            if patience.lost() is not None:
                process.kill()
                return process.communicate()


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, all threads; 0 where it cannot be told."""
    fields = _stat(Path(f"/proc/{pid}/stat"))
    return sum(map(int, fields[11:13])) / _HERTZ if fields else 0.0


def _sleeps(pid: int) -> bool:
    """Whether no thread runs, waits for a core or waits for a disk."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return False
    states = [_stat(thread / "stat")[:1] for thread in threads]
    return bool(states) and all(state in (["S"], []) for state in states)


def _stat(path: Path) -> list[str]:
    """The fields after the name, which may have anything in it."""
    try:
        return path.read_text().rpartition(")")[2].split()
    except OSError:
        return []
