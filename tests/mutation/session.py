"""Mutants of function bodies in one session of pytest: everything is imported, compiled and run
once, then each mutant gets a fork in which the code of its function is exchanged."""

import gc
import json
import os
import resource
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType

import pytest

from .mutants import Mutant, mutated

#: processor seconds of tests for one mutant, after which it counts as survived
PATIENCE = 12.0
#: processor seconds after which a test is a loop without end, and seconds of the clock for one that
#: waits
ENDLESS, STUCK = 20, 400
#: status of a fork in which a test failed
FAILED = 3


#: of pytest in every fork
OPTIONS = (
    "-q", "-n", "0", "--capture=sys", "-p", "no:cacheprovider",
    "-o", "tmp_path_retention_policy=none",
)  # fmt: skip


@dataclass
class Tests:
    """What is known of tests: which run a line, how long they take, which fail by themselves."""

    lines: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    unfit: dict[str, str] = field(default_factory=dict)

    def covering(self, mutant: Mutant) -> list[str]:
        """Tests that run the statement of a mutant, the quick ones first; of one that happens on
        import, those that run anything of its file."""
        known = self.lines.get(mutant.path, {})
        first, last = mutant.lines if mutant.function else (0, sys.maxsize)
        names = {name for line, some in known.items() if first <= line <= last for name in some}
        return sorted(names - set(self.unfit), key=lambda name: self.seconds.get(name, 0.0))

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(vars(self)))

    @classmethod
    def load(cls, path: Path) -> "Tests":
        found = cls(**json.loads(path.read_text()))
        found.lines = {
            file: {int(line): names for line, names in lines.items()}
            for file, lines in found.lines.items()
        }
        return found


@dataclass
class Outcome:
    """What became of a mutant: "caught", "survived", "uncovered" (no test runs it), or "unplaced"
    (the function is not there to be exchanged)."""

    outcome: str
    test: str = ""
    why: str = ""
    tests: int = 0
    #: whether tests were left that patience did not suffice for
    cut: bool = False
    seconds: float = 0.0


def in_fork(
    work: Callable[[Callable[[str], None]], int], quiet: bool = True, stuck: float | None = STUCK
) -> tuple[int, list[str], float]:
    """Run `work` in a fork with a function that tells lines to the parent; it has `stuck` seconds.

    Returns its status (negative: the signal that ended it), the lines, and its processor seconds.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.close(reading)
            if quiet:
                silence = os.open(os.devnull, os.O_WRONLY)
                os.dup2(silence, 1)
                os.dup2(silence, 2)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            status = work(lambda line: os.write(writing, f"{line}\n".encode()) and None)
        finally:
            sys.stdout.flush()
            os._exit(status)
    os.close(writing)
    killer = threading.Timer(stuck or threading.TIMEOUT_MAX, os.kill, (child, signal.SIGKILL))
    killer.start()
    try:
        with open(reading, encoding="utf-8", errors="replace") as told:
            lines = told.read().splitlines()
        _, status, used = os.wait4(child, 0)
    finally:
        killer.cancel()
        killer.join()
    return os.waitstatus_to_exitcode(status), lines, used.ru_utime + used.ru_stime


class Session:
    """The plugin. `chosen` are mutants of function bodies; `tell` is called with each outcome."""

    def __init__(
        self,
        root: Path,
        chosen: Iterator[Mutant],
        kept: Path,
        tell: Callable[[Mutant | None, Outcome], None],
        patience: float = PATIENCE,
    ) -> None:
        self.root, self.chosen, self.kept, self.tell = root, chosen, kept, tell
        self.patience = patience
        self.tests = Tests()
        self._failed = ""
        self._functions: dict[str, list[FunctionType]] = defaultdict(list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed = (report.longreprtext.splitlines() or ["no reason"])[-1]

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        self._record(items)
        self.tests.save(self.kept)
        self._find_functions()
        gc.collect()
        gc.freeze()
        for mutant in self.chosen:
            self.tell(mutant, self._try(mutant, items))
        # nothing is changed here, so nothing may be caught
        some = sorted(set(items) - set(self.tests.unfit), key=lambda name: self.tests.seconds[name])
        self.tell(None, self._run(None, some[:: max(1, len(some) // 100)], items))
        return True

    def _record(self, items: dict[str, pytest.Item]) -> None:
        """Which lines each test runs, and its time. It fills the caches, too."""
        from coverage import Coverage

        watch = Coverage(data_file=None, config_file=False, include=[f"{self.root}/snnr/*"])
        watch.start()
        for name, item, following in _in_turn(items):
            watch.switch_context(name)
            started = time.process_time()
            if why := self._fails(item, following):
                self._leave_out(name, why)
            self.tests.seconds[name] = time.process_time() - started
        watch.stop()
        data = watch.get_data()
        for file in data.measured_files():
            lines = data.contexts_by_lineno(file)
            names = {line: [name for name in some if name] for line, some in lines.items()}
            self.tests.lines[Path(file).relative_to(self.root).as_posix()] = names

    def _leave_out(self, name: str, why: str) -> None:
        self.tests.unfit[name] = why
        print(f"left out: {name}: {why}", file=sys.stderr, flush=True)

    def _find_functions(self) -> None:
        for found in gc.get_objects():
            if isinstance(found, FunctionType):
                self._functions[found.__code__.co_filename].append(found)

    def _try(self, mutant: Mutant, items: dict[str, pytest.Item]) -> Outcome:
        names = self.tests.covering(mutant)
        while names:
            outcome = self._run(mutant, names, items)
            if outcome.outcome != "caught":
                return outcome
            # the same tests without the change: the last one passes, or it was not the mutant
            last = names.index(outcome.test)
            if self._run(None, names[: last + 1], items).outcome != "caught":
                return outcome
            names = names[last + 1 :]
        return Outcome("uncovered")

    def _run(
        self, mutant: Mutant | None, names: list[str], items: dict[str, pytest.Item]
    ) -> Outcome:
        def work(say: Callable[[str], None]) -> int:
            started = time.process_time()
            say("unplaced")
            if mutant is not None and not self._place(mutant):
                return 0
            say("survived")
            for name, item, following in _in_turn({name: items[name] for name in names}):
                if time.process_time() - started > self.patience:
                    say("cut")
                    return 0
                say(name)
                limit = int(time.process_time()) + ENDLESS
                resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
                if why := self._fails(item, following):
                    say(why.replace("\n", " "))
                    return FAILED
            return 0

        status, lines, seconds = in_fork(work)
        if lines == ["unplaced"]:
            return Outcome("unplaced", seconds=seconds)
        if status == FAILED or status < 0:
            # a process that was ended says no reason
            *_, test, why = lines if status > 0 else [*lines, f"signal {-status}"]
            return Outcome("caught", test, why, len(lines) - 2 - (status > 0), False, seconds)
        if status:
            raise RuntimeError(f"a fork ended by itself ({status}) after {lines[-1:]}")
        cut = lines[-1] == "cut"
        return Outcome("survived", "", "", len(lines) - 2 - cut, cut, seconds)

    def _place(self, mutant: Mutant) -> bool:
        """Exchange the code of the function, and of what it has defined inside of it."""
        assert mutant.function is not None
        file, (name, first) = str(self.root / mutant.path), mutant.function
        codes = {
            (code.co_qualname, code.co_firstlineno): code
            for code in _codes(compile(mutated(self.root, mutant), file, "exec"))
        }
        placed = False
        for function in self._functions[file]:
            key = function.__code__.co_qualname, function.__code__.co_firstlineno
            inside = key[0].startswith(f"{name}.<locals>.") and "<lambda>" not in key[0]
            if (key != (name, first) and not inside) or key not in codes:
                continue
            if codes[key].co_freevars == function.__code__.co_freevars:
                function.__code__ = codes[key]
                placed |= key == (name, first)
        return placed

    def _fails(self, item: pytest.Item, following: pytest.Item | None) -> str:
        """The last line of why a test fails; nothing where it passes."""
        self._failed = ""
        try:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        except BaseException as error:  # of a mutant: it may raise what pytest lets through
            return repr(error)
        return self._failed


def _in_turn(
    items: dict[str, pytest.Item],
) -> Iterator[tuple[str, pytest.Item, pytest.Item | None]]:
    following: list[pytest.Item | None] = [*list(items.values())[1:], None]
    for (name, item), after in zip(items.items(), following, strict=True):
        yield name, item, after


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
