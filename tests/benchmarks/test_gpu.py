"""The command for everything that needs a card: limits, failures, going on, and its report."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import gpu_report
import pytest
from gpu import ROOT, chosen, cifar10, learnt, parts, reaches
from gpu_parts import (
    ABSENT,
    DONE,
    FAILED,
    LATE,
    WAITING,
    Command,
    Part,
    Store,
    run_part,
    run_parts,
)


def python(code: str, key: str = "", result: Path | None = None, printed: bool = False) -> Command:
    return Command((sys.executable, "-c", code), key, result, printed)


def part(name: str, *commands: Command, limit: int = 60, **more: object) -> Part:
    return Part(name, f"part {name}", limit, commands, **more)  # type: ignore[arg-type]


def run(parts: list[Part], store: Store, seconds: float = 300) -> tuple[bool, list[str]]:
    said: list[str] = []
    whole = run_parts(
        parts, store, seconds, store.path.parent, lambda: {"when": "now"}, said.append
    )
    return whole, said


def test_results_of_files_and_of_output(tmp_path: Path) -> None:
    target = tmp_path / "found.json"
    write = f"open({str(target)!r}, 'w').write('{{\"a\": 1}}')"
    two = part(
        "two", python(write, "file", target), python("print('{\"b\": 2}')", "out", printed=True)
    )
    kept = run_part(two, tmp_path, 60, tmp_path)
    assert kept["state"] == DONE
    assert kept["results"] == {"file": {"a": 1}, "out": {"b": 2}}
    assert [one["status"] for one in kept["commands"]] == [0, 0]
    # the folder's name does not get into what is published
    assert str(tmp_path) not in json.dumps(kept["commands"])


def test_a_failing_part_stops_no_other_and_ends_with_its_log(tmp_path: Path) -> None:
    store = Store(tmp_path / "r.json")
    bad = part("bad", python("import sys; print('because', file=sys.stderr); sys.exit(3)"))
    missing = part("missing", python("pass", "x", tmp_path / "none.json"))
    nowhere = part("nowhere", Command(("/no/such/program",)))
    whole, said = run([bad, missing, nowhere, part("good", python("pass"))], store)
    assert not whole
    assert [store.parts[name]["state"] for name in store.parts] == [FAILED, FAILED, FAILED, DONE]
    assert "because" in store.parts["bad"]["log"]
    assert store.parts["bad"]["problems"][0].startswith("exit status 3: python -c")
    assert store.parts["missing"]["problems"][0].startswith("no result: ")
    assert "bad: failed, 0 s" in said


def test_a_stale_result_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    target = tmp_path / "found.json"
    target.write_text('{"old": true}')
    kept = run_part(part("p", python("pass", "x", target)), tmp_path, 60, tmp_path)
    assert kept["state"] == FAILED
    assert kept["results"] == {}


def test_judged(tmp_path: Path) -> None:
    strict = part("p", python("print('{\"n\": 1}')", "x", printed=True),
                  judge=lambda found: [f"n is {found['x']['n']}"])  # fmt: skip
    kept = run_part(strict, tmp_path, 60, tmp_path)
    assert (kept["state"], kept["problems"]) == (FAILED, ["n is 1"])


def test_a_limit_ends_what_was_started(tmp_path: Path) -> None:
    child = tmp_path / "child"
    code = (
        "import subprocess, sys, time\n"
        "other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(child)!r}, 'w').write(str(other.pid))\n"
        "time.sleep(600)\n"
    )
    late = part("late", python(code), python("raise SystemExit('never')"), limit=2)
    begun = time.monotonic()
    kept = run_part(late, tmp_path, 60, tmp_path)
    assert time.monotonic() - begun < 30
    assert kept["state"] == LATE
    assert len(kept["commands"]) == 1
    assert "its limit" in kept["problems"][0]
    assert gone(int(child.read_text()))


def gone(number: int) -> bool:
    """Whether a process has ended; whoever adopted it has to notice first."""
    for _ in range(100):
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.1)
    return False


def test_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path, counted = tmp_path / "r.json", tmp_path / "count"
    count = python(f"open({str(counted)!r}, 'a').write('x')")
    good, bad = part("good", count), part("bad", python("raise SystemExit(1)"))
    assert not run([good, bad], Store(path))[0]
    mended = part("bad", count)
    whole, said = run([good, mended], Store(path))
    assert whole
    assert said[0] == "good: done before"
    assert counted.read_text() == "xx"
    with pytest.raises(ValueError, match="no file of such a run"):
        Store(path, rehearsal=True)


def test_no_time_left(tmp_path: Path) -> None:
    store = Store(tmp_path / "r.json")
    store.parts["before"] = {"title": "t", "state": FAILED, "seconds": 1.0, "problems": ["p"]}
    absent = part("absent", absent="not here")
    whole, _ = run([part("a", python("pass")), part("before", python("pass")), absent], store, 0)
    assert not whole
    assert [store.parts[n]["state"] for n in ("a", "before", "absent")] == [WAITING, FAILED, ABSENT]
    assert run([absent], store)[0]


def options(tmp_path: Path, *words: str) -> list[str]:
    return [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--out", str(tmp_path / "c.json"),
            *words]  # fmt: skip


def test_parts_fit_nine_minutes_and_are_named_once() -> None:
    args = arguments()
    every = parts(args)
    assert len({one.name for one in every}) == len(every)
    assert all(0 < one.limit <= 540 for one in every)
    assert [one.name for one in chosen(every, ["lif", "tests"])] == ["tests", "lif"]
    assert next(one for one in every if one.name == "cifar10").absent
    with pytest.raises(SystemExit, match="no part 'nothing'"):
        chosen(every, ["nothing"])


def arguments(**changes: object):
    import argparse

    values = {"out": ROOT / "out" / "cuda.json", "rehearse": False, "peer_python": "peers/python",
              "cifar10": None, "cifar_epochs": 1, "again": False, "step_peer": [],
              "products": None, **changes}  # fmt: skip
    return argparse.Namespace(**values)


def test_every_option_of_the_parts_exists() -> None:
    """What is run on a card must not fail for a word: every program says what it takes."""
    taken: dict[str, str] = {}
    for rehearse in (False, True):
        for one in parts(arguments(rehearse=rehearse)):
            for command in one.commands:
                script = next((word for word in command.words if word.endswith(".py")), None)
                if script is None:
                    continue
                assert Path(script).exists()
                if script not in taken:
                    asked = [sys.executable, script, "--help"]
                    told = subprocess.run(asked, capture_output=True, text=True, check=True)
                    taken[script] = told.stdout
                words = command.words[command.words.index(script) + 1 :]
                unknown = [w for w in words if w.startswith("--") and w not in taken[script]]
                assert not unknown, (script, unknown)
    assert len(taken) == 5


def test_no_program_hides_a_package() -> None:
    """A program's folder comes first on its path: a file named as a package that something imports
    (cuda is one, of numba-cuda's) would be found in its place."""
    ours = {path.stem for path in (ROOT / "benchmarks").iterdir() if path.suffix in (".py", "")}
    code = "import sys, pkgutil; print(*{m.name for m in pkgutil.iter_modules()})"
    told = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )
    assert "numpy" in told.stdout.split()
    assert not ours & {*told.stdout.split(), *sys.stdlib_module_names, "cuda", "torch", "cupy"}


def test_options_of_the_cifar_run(tmp_path: Path) -> None:
    from click.testing import CliRunner
    from snnr.cli import main

    words = cifar10(arguments(), tmp_path)
    told = CliRunner().invoke(main, ["train", "--help"]).output
    assert not [word for word in words if word.startswith("--") and word not in told]
    assert words[-1] == "--overwrite"
    (tmp_path / "checkpoint.h5").touch()
    assert cifar10(arguments(), tmp_path)[-1] == "--resume"


def test_judges() -> None:
    def found(accuracy: float) -> dict:
        return {"epochs": [{"test_accuracy": 0.1}, {"test_accuracy": accuracy}]}

    assert reaches({"card": found(0.976), "cpu": found(0.98)}) == []
    assert "97.40 % on the card" in reaches({"card": found(0.974), "cpu": found(0.98)})[0]
    assert learnt({"cifar10": {"accuracy": 0.4}}) == []
    assert "no better than luck" in learnt({"cifar10": {"accuracy": 0.1}})[0]


def test_without_a_card_one_line_and_two(tmp_path: Path) -> None:
    told = subprocess.run(
        options(tmp_path), capture_output=True, text=True, check=False,
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
    )  # fmt: skip
    assert told.returncode == 2
    assert told.stderr == "no card: NUMBA_ENABLE_CUDASIM is set: the simulator is no card\n"
    assert told.stdout == ""
    assert list(tmp_path.iterdir()) == []


def contender(median: float, wrong: tuple[str, ...] = (), products: str = "float32") -> dict:
    return {
        "median_ms": median,
        "p10_ms": median,
        "p90_ms": median,
        "wrong": list(wrong),
        "products": products,
        "ratio_to_snnr": 1.0,
        "peak_bytes": 1 << 30,
        "reserved_bytes": 2 << 30,
        "agrees": "yes",
        "waited": {"median_ms": 2 * median},
        "notes": "as it is",
    }


def content() -> dict:
    work = {"batch": 128, "timesteps": 8}
    step = {"snnr": contender(2.0), "spikingjelly": contender(12.0), "eager": contender(5.0),
            "compile": contender(3.0), "graph": contender(0.1, ("loss is wrong",)),
            "snnr tf32": contender(1.0, products="tf32")}  # fmt: skip
    done = {"title": "what it does", "state": DONE, "seconds": 3.0, "problems": [], "commands": []}
    works = {"works": {"mnist_fc": {"work": work, "contenders": step, "notes": ["a note"]}}}
    part = {"median_ms": 1.0, "bytes_per_second": 2.5e12}
    lif = {"neurons": 5, "steps": 6, "batch": 7, "copy_bytes_per_second": 3e12, "contenders": {
        "snnr": {"forward": part, "both": {**part, "bytes_per_second": 2.1e12}, "peak_bytes": 0,
                 "wrong": [], "notes": "n"}, "eager": {"left_out": "no torch"}}}  # fmt: skip
    kernels = [{"kernel": "a|b", "launches": 2, "microseconds": 4.0}]
    cost = {"host_us": 30.0, "step_us": 90.0, "replay_us": 11.0, "launches": 2, "kernels": kernels}
    launches = {"works": {"mnist_fc": cost}}
    return {
        "rehearsal": False,
        "card": {"name": "A card", "versions": {"snnr": "1"}},
        "clocks": {"driver_version": "999.1", "clocks.sm": "1 MHz"},
        "machine": {"cpu": "a processor", "cores_used": 2, "system": "a system"},
        "peers": {"torch": "9"},
        "command": "python benchmarks/gpu.py",
        "parts": {
            "mnist_fc": {**done, "results": {"mnist_fc": works}, "commit": "abc", "card": "A card"},
            "cifar10_conv-16": {**done, "results": {"cifar10_conv-16": works}},
            "lif": {**done, "results": {"lif": lif}},
            "launches": {**done, "results": {"launches": launches}},
            "sanitizer": {**done, "state": ABSENT, "problems": ["not installed"]},
            "cifar10": {**done, "state": FAILED, "problems": ["it broke"], "log": "line\n```\nend"},
        },
    }


def test_aims() -> None:
    met = {(aim, wanted): (found, good) for aim, wanted, found, good in gpu_report.aims(content())}
    assert met["mnist_fc step, SpikingJelly / snnr, float32", "5x"] == ("6.00x", True)
    assert met["host time to replay mnist_fc's step", "10 us"] == ("11.0 us", False)
    assert met["LIF, forward: share of a copy's rate", "80 %"] == ("83 %", True)
    assert met["LIF, forward and backward: share of a copy's rate", "80 %"] == ("70 %", False)
    # the fastest that is right: a contender with wrong results proves nothing
    title = "cifar10_conv, batch 16: fastest PyTorch / snnr, float32"
    assert met[title, "1x"] == ("1.50x", True)
    assert met[title, "2x"] == ("1.50x", False)
    unmeasured = title.replace("16", "64")
    assert met[unmeasured, "1x"] == ("-", None)


def test_nothing_is_met_by_wrong_results() -> None:
    made = content()
    works = made["parts"]["mnist_fc"]["results"]["mnist_fc"]["works"]
    works["mnist_fc"]["contenders"]["snnr"]["wrong"] = ["everything"]
    assert gpu_report.ratio(made, "mnist_fc", ["spikingjelly"]) is None


def test_report() -> None:
    text = gpu_report.build(content())
    for words in (
        "| card | A card |", "| driver | 999.1, CUDA - |", "| commit | abc |",
        "| graph | float32 | 0.10 |", "| NO |", "- a note", "- sanitizer: not installed",
        "### cifar10", "- it broke", "not measured", "a\\|b", "- eager: no torch",
        "Not done: cifar10.", "11.0 us of them the replay",
    ):  # fmt: skip
        assert words in text, words
    # what a log holds cannot end the block it stands in
    assert text.count("```") == 2
    assert "| snnr | TF32 | 1.00 |" in text


def test_report_of_nothing_yet() -> None:
    empty = {**content(), "parts": {}, "card": {}, "clocks": {}, "peers": {}}
    text = gpu_report.build(empty)
    assert "| card | none |" in text
    assert text.count("not measured") == 8
