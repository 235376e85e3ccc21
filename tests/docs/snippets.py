"""The snippets of a page, run in order in the current folder, as a reader would.

    python snippets.py PAGE

Python snippets share one namespace. Shell snippets run under ``sh -e``; `snnr` and `python` are
this checkout and this interpreter, and `pip install` looks whether there is such an extra. A
snippet with a name behind its language is a file. One whose first line says ``# not tested: why``
is left out. All words are the page's; data and epochs are made fewer. The last line printed says
what was run.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SNIPPET = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```", re.MULTILINE | re.DOTALL)
LEFT_OUT = re.compile(r"\A# not tested: (.+)")
#: what is run by other means: the two lines of the README by .ci/run
ELSEWHERE = ("python3 -m venv",)
#: what a snippet needs that not every machine has
TOOLS = {
    "cc ": "cc", "--check": "cc", ".check(": "cc", "examples/cortex_m/Makefile": "qemu-system-arm",
}  # fmt: skip
PACKAGES = {
    "--to nir": "nir", "load_nir": "nir", "snnr search": "optuna", "snnr plot": "matplotlib",
    "from tqdm": "tqdm", "from rich": "rich",
}  # fmt: skip
FEW = ["--epochs", "1", "--limit-train", "640", "--limit-test", "500"]
#: more words for a command, so that there is less to do; the last word of an option counts
LESS = {
    # a rate at which so few steps prune
    "train": [*FEW, "--batch-size", "64", "--lr", "0.01"],
    "sweep": [*FEW, "--seeds", "1"],
    # which ends where it is to end, in a training of any length
    "search": [*FEW, "--trials", "1", "--method", "magnitude"],
    "bench": ["--seconds", "0.02"],
}
IMAGES = 640


class Snippet(NamedTuple):
    language: str
    name: str
    code: str

    @property
    def left_out(self) -> str | None:
        """Why a reader is told that this one is not tested."""
        found = LEFT_OUT.match(self.code)
        return found and found[1]


def snippets(page: Path) -> list[Snippet]:
    """Those of a page that are Python, shell or files."""
    found = [Snippet(*parts) for parts in SNIPPET.findall(page.read_text(encoding="utf-8"))]
    known = [one for one in found if one.language in ("python", "sh") or one.name]
    return [one for one in known if not one.code.startswith(ELSEWHERE)]


def missing(code: str) -> list[str]:
    """Programs and packages that a snippet needs and that are not here."""
    tools = {tool for sign, tool in TOOLS.items() if sign in code and not shutil.which(tool)}
    wanted = {name for sign, name in PACKAGES.items() if sign in code}
    return [*tools, *(name for name in wanted if not find_spec(name))]


def shorter(argv: list[str]) -> list[str]:
    """The words of a command with less to do, where it trains on MNIST or times."""
    return [*argv, *LESS.get(argv[0], [])] if "mnist" in argv or argv[:1] == ["bench"] else argv


def installed(argv: list[str]) -> None:
    """What `pip install` is asked for here: this package, with extras that it has."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for word in argv[1:]:
        wanted = re.fullmatch(r"(?:snnr|\.)(?:\[([\w,]+)\])?", word)
        assert wanted, f"pip install {word}"
        for extra in filter(None, (wanted[1] or "").split(",")):
            assert extra in project["optional-dependencies"], extra


def commands(folder: Path) -> None:
    """Programs of the names that the pages use, put in front of all others."""
    folder.mkdir()
    me = f'"{sys.executable}" "{Path(__file__).resolve()}"'
    for name, does in {
        "snnr": f"{me} as-snnr", "pip": f"{me} as-pip", "python": f'"{sys.executable}" -W error',
    }.items():  # fmt: skip
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec {does} "$@"\n')
        path.chmod(0o755)
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"


def an_image() -> None:
    """A digit as a reader may have one, where pictures can be written."""
    import snnr

    if find_spec("PIL"):
        from PIL import Image

        Image.fromarray(snnr.data.load("mnist", limit_train=1).x_test[0, 0]).save("digit.png")


def fewer_images() -> None:
    """`snnr.data.load` takes the first images of MNIST unless it is told how many."""
    import snnr

    whole = snnr.data.load

    def load(
        name: Any, data_dir: Any = None, limit_train: int | None = None, *more: Any, **others: Any
    ) -> Any:
        if name == "mnist":
            limit_train = min(limit_train or IMAGES, 2 * IMAGES)
        return whole(name, data_dir, limit_train, *more, **others)

    snnr.data.load = load


def run(page: Path) -> Counter[str]:
    """How many snippets ran, by language, and how many did not."""
    names: dict[str, Any] = {"__name__": "__main__"}
    told: Counter[str] = Counter()
    commands(Path.cwd() / ".bin")
    an_image()
    fewer_images()
    sys.path.insert(0, str(Path.cwd()))
    for language, name, code in snippets(page):
        one = Snippet(language, name, code)
        if one.left_out or missing(code):
            told["left out" if one.left_out else "lacks " + ", ".join(missing(code))] += 1
            continue
        print(f"--- {language} {name}\n{code}", flush=True)
        if name:
            Path(name).write_text(code, encoding="utf-8")
        elif language == "python":
            # as many words, less work
            code = re.sub(r"\bepochs=\d+", "epochs=1", code)
            exec(compile(code, f"{page.name}:{sum(told.values()) + 1}", "exec"), names)
        else:
            subprocess.run(["sh", "-e", "-c", code], check=True)
        told[language] += 1
    return told


def main(argv: list[str]) -> None:
    match argv:
        case ["as-snnr", *words]:
            os.execv(sys.executable, [sys.executable, "-m", "snnr", *shorter(words)])
        case ["as-pip", *words]:
            installed(words)
        case [page]:
            print(dict(run(Path(page))))


if __name__ == "__main__":
    main(sys.argv[1:])
