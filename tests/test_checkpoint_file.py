"""Bytes that take the place of a file: full disks, leftovers, modes and links."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from snnr.checkpoint import file
from snnr.errors import CheckpointError

POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX only")
CONTENT = bytes(range(256)) * 400


def test_the_bytes_arrive_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "c.h5"
    for content in (CONTENT, b"", b"short"):
        file.replace(target, content)
        assert target.read_bytes() == content
        assert os.listdir(tmp_path) == ["c.h5"]


def test_file_and_folder_are_synchronised_before_and_after_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def note_sync(handle: int) -> None:
        calls.append("sync")
        fsync(handle)

    def note_replace(*names: Path) -> None:
        calls.append("rename")
        replace(*names)

    monkeypatch.setattr(file.os, "fsync", note_sync)
    monkeypatch.setattr(file.os, "replace", note_replace)
    file.replace(tmp_path / "c.h5", CONTENT)
    assert calls == ["sync", "rename", "sync"]


LIMITED = """
import resource, sys
from collections.abc import Callable
from pathlib import Path
from snnr.checkpoint import file
from snnr.errors import CheckpointError
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    file.replace(Path(sys.argv[1]), bytes(range(256)) * 400)
except CheckpointError as error:
    print(error)
"""


@POSIX
@pytest.mark.parametrize("room", [0, 1, 4096, 102_399])
def test_a_file_size_limit_leaves_the_old_file(tmp_path: Path, room: int) -> None:
    target = tmp_path / "c.h5"
    target.write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, target, str(room)], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{target}: cannot be written (File too large); raise the limit")
    assert "is as it was" in done.stdout
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["c.h5"]


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    target = tmp_path / "c.h5"
    target.write_bytes(b"old")

    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(file.os, call, no_room)
        with pytest.raises(CheckpointError, match=r"c\.h5: cannot be written \(No space.*; free"):
            file.replace(target, CONTENT)
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["c.h5"]


def test_no_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"cannot be written .*create the folder first$"):
        file.replace(tmp_path / "none" / "c.h5", CONTENT)


HOLDING = """
import os, sys
from collections.abc import Callable
from pathlib import Path
from snnr.checkpoint import file
name, handle = file._begin(Path(sys.argv[1]))
print(name, flush=True)
sys.stdin.read()
"""


@POSIX
def test_what_dead_processes_left_goes_and_what_living_ones_write_stays(tmp_path: Path) -> None:
    target = tmp_path / "c[1].h5"
    others = [tmp_path / name for name in (".c1.h5.0123abcd.tmp", ".c[1].h5.notes.tmp", "a.tmp")]
    for other in others:
        other.write_bytes(b"not ours")
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, target],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    held = Path(process.stdout.readline().strip())
    file.replace(target, b"first")
    assert held.exists()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert held.exists()
    file.replace(target, b"second")
    assert not held.exists()
    assert sorted(tmp_path.iterdir()) == sorted([target, *others])


@POSIX
def test_a_file_keeps_its_mode_and_a_new_one_has_the_usual(tmp_path: Path) -> None:
    target, plain = tmp_path / "c.h5", tmp_path / "plain"
    plain.touch()
    file.replace(target, CONTENT)
    assert target.stat().st_mode == plain.stat().st_mode
    target.chmod(0o640)
    file.replace(target, CONTENT)
    assert target.stat().st_mode & 0o777 == 0o640


@POSIX
def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    real, link = tmp_path / "disk/c.h5", tmp_path / "c.h5"
    real.write_bytes(b"old")
    link.symlink_to("disk/c.h5")
    file.replace(link, CONTENT)
    assert link.is_symlink()
    assert real.read_bytes() == CONTENT
    assert os.listdir(tmp_path / "disk") == ["c.h5"]


def test_a_probe_leaves_nothing_and_finds_what_is_wrong(tmp_path: Path) -> None:
    target = tmp_path / "new" / "c.h5"
    file.probe(target)
    assert os.listdir(tmp_path / "new") == []
    target.with_name(".c.h5.0123abcd.tmp").touch()  # of one who died
    file.probe(target)
    assert os.listdir(tmp_path / "new") == []
    (tmp_path / "file").touch()
    for wrong in (tmp_path / "file" / "c.h5", tmp_path / "new"):
        with pytest.raises(CheckpointError, match="cannot be written"):
            file.probe(wrong)


@POSIX
@pytest.mark.parametrize("write", [lambda path: file.replace(path, b"x"), file.probe])
def test_a_pipe_is_not_replaced(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / "c.h5"
    os.mkfifo(path)
    (tmp_path / "link").symlink_to(path)
    for name in (path, tmp_path / "link"):
        with pytest.raises(CheckpointError, match="is a device, a pipe or a socket"):
            write(name)
    assert path.is_fifo()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.h5", "link"]


def test_a_look_beforehand_makes_the_folders_and_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "of" / "runs" / "c.h5"
    for _ in range(2):
        file.probe(target)
        assert list(target.parent.iterdir()) == []
