"""Signals in a process of their own: answered while the main thread is busy, and obeyed when it is
deaf."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from snnr.interrupt import AtOnce, Stop, Stopped, Watch

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals")

#: a program whose main thread is for minutes where no handler of Python runs
BUSY = """
import hashlib, threading, time
from snnr.interrupt import Stop, Watch
say = lambda text: print(text, flush=True)
def tell(begun):
    while time.process_time() < begun + 0.2:  # what takes that long is the hash
        time.sleep(0.01)
    say("ready")
with Watch(lambda: say("soon")):
    {opened}
        threading.Thread(target=tell, args=(time.process_time(),), daemon=True).start()
        hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
"""
#: one that lets nothing through
DEAF = """
import time
from snnr.interrupt import Stop, Watch
with Watch(lambda: print("soon", flush=True)), Stop(lambda: print("after this", flush=True)):
    print("ready", flush=True)
    while True:
        try:
            time.sleep(0.01)
        except BaseException:
            print("swallowed", flush=True)
"""
STOP = 'with Stop(lambda: say("after this step")):'


@pytest.fixture
def begun(request: pytest.FixtureRequest) -> Iterator["subprocess.Popen[str]"]:
    """A process that runs such a program, and is ready."""
    words = [sys.executable, "-c", request.param]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("begun", "said"),
    [(BUSY.format(opened=STOP), "after this step\n"), (BUSY.format(opened="if True:"), "soon\n")],
    indirect=["begun"], ids=["stop", "plain"],
)  # fmt: skip
def test_what_is_busy_answers_at_once_and_ends_at_the_second(
    begun: "subprocess.Popen[str]", said: str
) -> None:
    begun.send_signal(signal.SIGINT)
    assert begun.stdout is not None
    assert begun.stdout.readline() == said  # the main thread has not heard of it yet
    assert begun.poll() is None
    begun.send_signal(signal.SIGINT)
    assert begun.wait(20) == 130
    assert begun.stdout.read() == ""


@pytest.mark.parametrize("begun", [BUSY.format(opened=STOP)], indirect=True, ids=[""])
def test_two_that_come_together_are_two(begun: "subprocess.Popen[str]") -> None:
    begun.send_signal(signal.SIGINT)
    time.sleep(0.05)  # the system makes one of two that wait
    begun.send_signal(signal.SIGINT)
    assert begun.wait(20) == 130


@pytest.mark.parametrize("begun", [DEAF], indirect=True, ids=[""])
@pytest.mark.parametrize(("first", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_swallows_everything_ends_at_the_second(
    begun: "subprocess.Popen[str]", first: int, code: int
) -> None:
    assert begun.stdout is not None
    begun.send_signal(first)
    assert begun.stdout.readline() == "after this\n"
    begun.send_signal(signal.SIGTERM)  # machines are managed by several of them
    time.sleep(1.5)
    assert begun.poll() is None
    begun.send_signal(signal.SIGINT)
    assert begun.stdout.readline() == "swallowed\n"
    assert begun.wait(20) == code


def stopped(watch: Watch, times: int = 1) -> None:
    with watch, Stop() as stop:
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)
        stop.heed()


def test_one_that_ends_by_itself_has_time_for_it() -> None:
    ended: list[int] = []
    with pytest.raises(Stopped):
        stopped(Watch(lambda: None, ended.append))
    assert ended == []
    assert signal.set_wakeup_fd(-1) == -1
    with pytest.raises(AtOnce):
        stopped(Watch(lambda: None, ended.append), times=2)
    assert ended == [130]
    assert not any(thread.name == "signals" for thread in threading.enumerate())


def test_one_who_listens_already_goes_on_listening() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    try:
        with pytest.raises(Stopped):
            stopped(Watch(lambda: None))
        assert os.read(reading, 9) == bytes([signal.SIGINT])
    finally:
        assert signal.set_wakeup_fd(-1) == writing
        os.close(reading)
        os.close(writing)


def test_compiling_is_told_by_every_thread(capsys: pytest.CaptureFixture[str]) -> None:
    from numba.core.compiler_lock import global_compiler_lock
    from snnr.cli.progress import Display

    from snnr.kernels import jit

    found: list[bool] = []

    def look() -> None:
        Display().stopping()
        thread = threading.Thread(target=lambda: found.append(jit.is_compiling()))
        thread.start()
        thread.join()
        found.append(jit.is_compiling())

    with global_compiler_lock:
        look()
    look()
    assert found == [True, True, False, False]
    told = "stopping after this step{} (Ctrl-C again: at once, unsaved)"
    assert capsys.readouterr().err.splitlines() == [
        told.format(" and its compilation"), told.format(""),
    ]  # fmt: skip


def test_a_second_ctrl_c_inside_of_a_callback_of_c_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    before = sys.unraisablehook
    callback = ctypes.CFUNCTYPE(None)(lambda: stop._receive(signal.SIGINT, None))
    other = ctypes.CFUNCTYPE(None)(lambda: {}["a mistake"])
    with Watch(lambda: None), Stop() as stop:
        stop.request()
        callback()
        assert told == []
        with pytest.raises(AtOnce):
            stop.heed()
        other()
        assert [one.exc_type for one in told] == [KeyError]
    assert sys.unraisablehook == before
