"""A run folder belongs to one process at a time, and to nobody once that has ended."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from snnr.errors import SnnrError
from snnr.lock import locked

HOLDER = """
import sys
from pathlib import Path
from snnr.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def holder(folder: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, folder],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_process_is_told_who_has_it(tmp_path: Path) -> None:
    process = holder(tmp_path / "run")
    with (
        pytest.raises(SnnrError, match=rf"run is in use by process {process.pid} on .*--out"),
        locked(tmp_path / "run"),
    ):
        pytest.fail("held by two")
    process.communicate("\n")
    assert process.returncode == 0
    with locked(tmp_path / "run"):
        assert os.listdir(tmp_path / "run") == [".lock"]


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_process_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    process = holder(tmp_path / "run")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert os.listdir(tmp_path / "run") == [".lock"]
    with locked(tmp_path / "run"):
        pass
    assert os.listdir(tmp_path) == ["run"]
    assert os.listdir(tmp_path / "run") == []


def test_a_folder_made_for_the_lock_goes_when_nothing_came_into_it(tmp_path: Path) -> None:
    with pytest.raises(KeyError), locked(tmp_path / "a/b/c"):
        raise KeyError
    assert os.listdir(tmp_path) == []
    with locked(tmp_path / "a/b"):
        (tmp_path / "a/b/file").touch()
    assert os.listdir(tmp_path / "a/b") == ["file"]


def test_within_one_process_too(tmp_path: Path) -> None:
    with (
        locked(tmp_path),
        pytest.raises(SnnrError, match=f"in use by process {os.getpid()}"),
        locked(tmp_path),
    ):
        pytest.fail("held twice")


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SnnrError, match=r"cannot be (created|written to) .*--out"), locked(
        tmp_path / "file"
    ):
        pytest.fail("a file is no folder")


RACE = """
import sys, os, time
from pathlib import Path
from snnr.errors import SnnrError
from snnr.lock import locked
folder, end = Path(sys.argv[1]), time.monotonic() + 1.0
mine = 0
while time.monotonic() < end:
    try:
        with locked(folder):
            inside = os.open(folder / "inside", os.O_CREAT | os.O_EXCL)  # fails when not alone
            os.close(inside)
            os.unlink(folder / "inside")
            mine += 1
    except SnnrError:
        pass
print(mine)
"""


def test_never_two_at_once(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, tmp_path / "run"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    answers = [process.communicate(timeout=60) for process in processes]
    assert [error for _, error in answers] == ["", "", ""]
    assert sum(int(out) for out, _ in answers) > 10
