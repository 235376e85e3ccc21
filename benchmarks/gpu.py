"""Everything that needs a card, in one command, with one report.

    python benchmarks/gpu.py --peer-python peers/bin/python [--cifar10 FILE.npz]
    python benchmarks/gpu.py --part tests --part mnist_fc        # some of it
    python benchmarks/gpu.py --list

The parts run one after the other, what matters most first, each under a limit of at most nine
minutes and all of them within ``--minutes``. A part that fails does not stop the others. What was
found goes to one JSON file after every part, and into a report beside it (Markdown). Run again, the
command does what is not done yet. Exit status: 0 all is done and right, 1 something failed or is
still to be done, 2 there is no card.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gpu_report
from gpu_parts import Command, Part, Results, Store, run_parts
from report import machine

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
#: how far the accuracy of a training on the card may be below the CPU's, in points of a share
ACCURACY = 0.005
#: accuracy on CIFAR-10 that is more than luck (one class in ten), for a run of one epoch or more
LEARNT = 0.2
TOOLS = ("memcheck", "racecheck", "initcheck")

#: run with the project's own interpreter: the card as snnr sees it, in one JSON line
CARD = """
import json, os, sys, importlib.metadata as m
from snnr import kernels
from snnr.errors import DeviceError
if os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0"):
    sys.exit("NUMBA_ENABLE_CUDASIM is set: the simulator is no card")
try:
    kernels.backend("cuda")
except DeviceError as error:
    sys.exit(str(error))
from snnr.kernels.cuda.device import cuda
card = cuda.get_current_device()
name = card.name.decode() if isinstance(card.name, bytes) else card.name
free, total = cuda.current_context().get_memory_info()
names = ("snnr", "numba", "numba-cuda", "cuda-bindings", "cuda-core", "numpy", "nvidia-cublas",
         "nvidia-nvjitlink", "nvidia-cuda-nvrtc", "nvidia-cuda-nvcc")
installed = {d.metadata["Name"]: d.version for d in m.distributions()}
print(json.dumps({
    "name": name,
    "compute_capability": ".".join(map(str, card.compute_capability)),
    "multiprocessors": card.MULTIPROCESSOR_COUNT,
    "memory_bytes": total,
    "driver_cuda": ".".join(map(str, cuda.cudadrv.driver.driver.get_version())),
    "versions": {n: installed[n] for n in names if n in installed},
}))
"""
#: run with the peers' interpreter
PEERS = """
import json, importlib.metadata as m
installed = {d.metadata["Name"]: d.version for d in m.distributions()}
names = ("torch", "triton", "spikingjelly", "numpy")
told = {n: v for n, v in installed.items() if n in names or n.startswith("cupy")}
try:
    import torch
    told["torch's CUDA"] = torch.version.cuda
    told["cuDNN"] = torch.backends.cudnn.version()
except ImportError:
    pass
print(json.dumps(told))
"""
CLOCKS = (
    "name", "driver_version", "clocks.sm", "clocks.mem", "clocks.max.sm", "clocks.max.mem",
    "temperature.gpu", "power.limit", "utilization.gpu", "ecc.mode.current",
)  # fmt: skip


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--peer-python", default=sys.executable, help="interpreter that has the peers")
    add("--cifar10", type=Path, help="npz of CIFAR-10 as `snnr train` reads it")
    add("--cifar-epochs", type=int, default=1, help="epochs of the CIFAR-10 run (1)")
    add("--out", type=Path, default=HERE / "results" / "cuda.json", help="what was found")
    add("--report", type=Path, help="the report (default: beside --out, .md)")
    add("--minutes", type=float, default=25, help="time for all parts together (25)")
    add("--part", action="append", default=[], help="only this part; may be repeated")
    add("--step-peer", action="append", default=[],
        help="contender of the training steps (default: snnr and all); may be repeated")
    add("--products", choices=["float32", "tf32"], help="of the training steps (default: both)")
    add("--again", action="store_true", help="run parts that are done already, too")
    add("--list", action="store_true", help="the parts, in order")
    add("--rehearse", action="store_true",
        help="the same on the CPU with little work: does the command itself work?")  # fmt: skip
    args = parser.parse_args()
    if args.rehearse and args.out == parser.get_default("out"):
        args.out = args.out.with_name("rehearsal.json")
    args.out = args.out.resolve()
    args.report = (args.report or args.out.with_suffix(".md")).resolve()
    if args.cifar10 is not None:
        args.cifar10 = args.cifar10.resolve()
    return args


def sanitizer() -> str | None:
    """compute-sanitizer, where it is installed."""
    places = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    folders = [Path(place) / "bin" for place in places if place]
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, folders)])
    return shutil.which("compute-sanitizer", path=path)


def reaches(results: Results) -> list[str]:
    """The training on the card is as good as the CPU's."""
    card, host = (results[key]["epochs"][-1]["test_accuracy"] for key in ("card", "cpu"))
    if card >= host - ACCURACY:
        return []
    return [f"accuracy {100 * card:.2f} % on the card, {100 * host:.2f} % on the CPU"]


def learnt(results: Results) -> list[str]:
    """The network is better than guessing."""
    accuracy = results["cifar10"]["accuracy"]
    return [] if accuracy >= LEARNT else [f"accuracy {100 * accuracy:.1f} %, no better than luck"]


def parts(args: argparse.Namespace) -> list[Part]:
    """All parts, what matters most first."""
    work = args.out.parent / f"{args.out.stem}-work"
    python, small = sys.executable, args.rehearse
    device = "cpu" if small else "cuda"
    peer = ("--peer-python", args.peer_python)

    def script(name: str, key: str, *words: str) -> Command:
        """One of the programs beside this one, which writes JSON."""
        result = work / f"{key}.json"
        return Command(
            (python, str(HERE / f"{name}.py"), *words, "--json", str(result)), key, result
        )

    def step(key: str, name: str, batch: int, limit: int, *more: str) -> Part:
        if small:
            batch, more = 4, ("--peer", "snnr", "--peer", "eager", "--rounds", "1")
        else:
            more += tuple(word for peer in args.step_peer for word in ("--peer", peer))
            more += ("--products", args.products) if args.products else ()
        words = ("--device", device, "--work", name, "--batch", str(batch), *peer, *more)
        title = f"training step of {name}, batch {batch}, beside PyTorch"
        absent = "a rehearsal is small" if small and name != "mnist_fc" else ""
        return Part(key, title, limit, (script("train_step", key, *words),), absent=absent)

    tests = work / "tests.xml"
    workers = ("-n", "6", "--dist", "loadfile") if importlib.util.find_spec("xdist") else ()
    pytest = (python, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", *workers)
    lif = ("--neurons", "128", "--steps", "20", "--rounds", "1") if small else ()
    epochs = ("--epochs", "1", "--limit-train", "640") if small else ("--epochs", "3")
    threads = ("--threads", str(len(os.sched_getaffinity(0))))
    tool = sanitizer()
    exercise = (python, str(HERE / "exercise.py"), "--device", device)
    exercise += ("--tiny",) if small else ()
    return [
        Part("tests", "tests that need a card", 540,
             (Command((*pytest, f"--junitxml={tests}")),),
             absent="a rehearsal has no card" if small else ""),
        step("mnist_fc", "mnist_fc", 128, 420),
        Part("launches", "host time and launches of a step", 240,
             (script("launches", "launches", "--device", device, "--work", "mnist_fc",
                     *(("--batch", "4", "--turns", "2", "--steps", "2") if small
                       else ("--work", "csnn"))),)),
        Part("lif", "LIF alone: 16k neurons, 500 steps, batch 16", 300,
             (script("lif", "lif", "--device", device, *peer, *lif),)),
        Part("exercise", "small trainings beside the CPU", 240, (Command(exercise),)),
        Part("training", "mnist_fc with augmentation on the card, beside the CPU", 420,
             (script("epoch", "card", "--device", device, *epochs, *threads),
              script("epoch", "cpu", "--device", "cpu", *epochs, *threads)), reaches),
        step("csnn", "csnn", 128, 480),
        step("cifar10_conv-16", "cifar10_conv", 16, 540, "--without", "authors"),
        Part("sanitizer", "compute-sanitizer: " + ", ".join(TOOLS), 540,
             tuple(Command((str(tool), "--tool", name, "--error-exitcode", "9", *exercise))
                   for name in TOOLS),
             absent="a rehearsal has no card" if small
             else "" if tool else "compute-sanitizer is not installed"),
        step("cifar10_conv-64", "cifar10_conv", 64, 540, "--without", "authors", "--alone"),
        Part("cifar10", f"cifar10_conv on CIFAR-10, {args.cifar_epochs} epochs", 540,
             (Command((python, "-c", "from snnr.cli import main; main()", "train",
                       str(args.cifar10), *cifar10(args, work / "cifar10")),
                      "cifar10", printed=True),), learnt,
             absent="a rehearsal has no card" if small
             else "" if args.cifar10 else "no file was given with --cifar10"),
    ]  # fmt: skip


def cifar10(args: argparse.Namespace, folder: Path) -> tuple[str, ...]:
    """Options of the CIFAR-10 run; one that was cut off goes on."""
    options = (
        "--net", "cifar10_conv", "--device", "cuda", "-T", "8", "--batch-size", "16",
        "--lr", "1e-4", "--prior", "1e-3", "--augment", "--epochs", str(args.cifar_epochs),
        "--out", str(folder), "--json",
    )  # fmt: skip
    begun = (folder / "checkpoint.h5").exists() and not args.again
    return (*options, "--resume" if begun else "--overwrite")


def ask(python: str, code: str) -> tuple[dict[str, Any], str]:
    """What a snippet prints as JSON under an interpreter, or why it does not."""
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return {}, lines[-1] if lines else f"exit status {done.returncode}"
    told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return told, ""


def clocks() -> dict[str, str]:
    """What nvidia-smi says about the first card; empty where there is no nvidia-smi."""
    query = ["nvidia-smi", f"--query-gpu={','.join(CLOCKS)}", "--format=csv,noheader", "--id=0"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    values = [value.strip() for value in done.stdout.strip().split(",")]
    if done.returncode or len(values) != len(CLOCKS):
        return {}
    return dict(zip(CLOCKS, values, strict=True))


def commit() -> str:
    """The commit of the working tree, and whether files differ from it; empty outside of git."""

    def git(*words: str) -> str:
        try:
            done = subprocess.run(
                ["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False
            )
        except OSError:
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    found = git("rev-parse", "HEAD")
    # the results are written meanwhile
    changed = git("status", "--porcelain", "--untracked-files=no", ":!benchmarks/results")
    return f"{found} with changes" if found and changed else found


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def chosen(every: list[Part], names: list[str]) -> list[Part]:
    """The parts that were named; all of them where none was.

    Raises
    ------
    SystemExit : there is no part of a name.
    """
    known = [part.name for part in every]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"no part {unknown[0]!r}: there are {', '.join(known)}")
    return [part for part in every if not names or part.name in names]


def main() -> int:
    """Entry point."""
    args = arguments()
    every = parts(args)
    wanted = chosen(every, args.part)
    if args.list:
        for part in every:
            print(f"{part.name:16s} {part.title} (at most {part.limit} s)")
        return 0
    card: dict[str, Any] = {}
    if not args.rehearse:
        card, trouble = ask(sys.executable, CARD)
        if trouble:
            print(f"no card: {trouble}", file=sys.stderr)
            return 2
    try:
        store = Store(args.out, args.rehearse)
    except ValueError as error:
        raise SystemExit(str(error)) from None
    if args.again:
        for part in wanted:
            store.parts.pop(part.name, None)
    store.content |= {
        "card": card,
        "clocks": clocks(),
        "machine": machine(),
        "peers": ask(args.peer_python, PEERS)[0],
        "command": " ".join(["python", "benchmarks/gpu.py", *sys.argv[1:]]),
    }
    (args.out.parent / f"{args.out.stem}-work").mkdir(parents=True, exist_ok=True)
    revision, name = commit(), card.get("name", "")

    def about() -> dict[str, Any]:
        now = time.strftime("%Y-%m-%d %H:%M:%S %Z")
        return {"when": now, "card": name, "commit": revision, "clocks_after": clocks()}

    try:
        whole = run_parts(wanted, store, 60 * args.minutes, ROOT, about, say)
    except KeyboardInterrupt:
        say("interrupted: the same command goes on with the part that was cut off")
        return 130
    finally:
        store.save()
        args.report.write_text(gpu_report.build(store.content))
        say(f"report: {args.report}")
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
