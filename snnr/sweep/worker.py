"""A process that does runs one after the other: jobs come as JSON lines on stdin, events leave as
JSON lines on what was stdout."""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from snnr.interrupt import Stop, Stopped
from snnr.sweep.job import execute


def main() -> None:
    """Work until stdin ends, or a signal asks to stop."""
    # nothing that a library prints may stand among the events
    channel = os.dup(1)
    os.dup2(2, 1)
    parent = os.getppid()  # another one once that process has died
    with Stop() as stop:
        for line in sys.stdin:
            try:
                stop.heed()
                _work(json.loads(line), channel, lambda: stop.requested or os.getppid() != parent)
            except Stopped:
                break


def _work(job: Mapping[str, Any], channel: int, stopping: Callable[[], bool]) -> None:
    def tell(event: Mapping[str, Any]) -> None:
        # whoever started this may be gone: the run is then saved and ends
        with contextlib.suppress(OSError):
            os.write(channel, (json.dumps({"run": job["run"], **event}) + "\n").encode())

    tell(execute(job["config"], Path(job["folder"]), tell, stopping))


if __name__ == "__main__":
    main()
