"""The program on a terminal of a given width."""

import os
import re
import struct
import sys
from pathlib import Path

import pytest

pty = pytest.importorskip("pty")
#: progress is drawn after every step, however quick they are
MAIN = (
    "from snnr.cli import main, progress; progress._REFRESH = 0.0; main(prog_name='snnr')"
)  # fmt: skip


def shown(columns: int, cwd: Path, *arguments: object) -> tuple[int, list[str]]:
    """Exit code, and whatever stood in a line, also what was drawn over."""
    import fcntl
    import termios

    words = [sys.executable, "-c", MAIN, *map(str, arguments)]
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(cwd)
        os.read(0, 1)  # until the terminal has its width
        # named, for readline puts its own COLUMNS behind the back of os.environ
        env = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
        os.execve(sys.executable, words, env)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    os.write(terminal, b"\n")
    told = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # how Linux tells that the other end is closed
            break
        if not part:
            break
        told += part
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(terminal)
    text = re.sub(r"\x1b\[[0-9]*[A-Z]", "", told.decode())
    return code, [line for line in re.split(r"[\r\n]+", text) if line]


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
@pytest.mark.parametrize("columns", [60, 80])
def test_errors_fit(columns: int, tmp_path: Path) -> None:
    for arguments in (
        ("train", "mnist", "--schedule", "cosin"),
        ("train", "mnist", "--optimizer", "adam"),
        ("train", "mnist", "--net", "fc8-lf-fc10-lif"),
        ("eval", "x", "--dataset", "imagenet"),
        ("data", "fetch", "imagenet"),
    ):
        code, lines = shown(columns, tmp_path, *arguments)
        assert code == (2 if arguments[0] == "train" else 1)
        assert any(line.startswith("Error: ") for line in lines)
        assert all(len(line) <= columns for line in lines), lines


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_training_fits_and_says_how_long_it_takes(tiny_file: Path, tmp_path: Path) -> None:
    work = ("--net", "fc8-lif-fc4-lif", "-T", 2, "--batch-size", 2, "--epochs", 3, "--out", "run")
    code, lines = shown(80, tmp_path, "train", tiny_file, *work, "--device", "cpu")
    assert code == 0, lines
    assert all(len(line) <= 80 or len(line.split()) == 1 for line in lines)
    (titles,) = (line for line in lines if line.endswith("  ETA"))
    rows = [line for line in lines if re.match(r"epoch \d/3  \d", line)]
    assert len(rows) == 3
    assert all(re.search(r" \d:\d\d$", row) and len(row) == len(titles) for row in rows)
    assert any(re.search(r"step \d+/100  loss [\d.]+  ETA \d:\d\d$", line) for line in lines)
    assert any(re.match(r"[|/\\-] compiling \w+  0:\d\d$", line) for line in lines) or (
        "compiling" not in " ".join(lines)  # all of it was on the disk
    )
