"""Every snippet of the README and of the pages runs."""

import shutil
import subprocess
import sys
from collections import Counter
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WORKER = Path(__file__).with_name("snippets.py")
spec = spec_from_file_location("snippets", WORKER)
assert spec is not None
assert spec.loader is not None
worker = module_from_spec(spec)
spec.loader.exec_module(worker)

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
#: what comes out of some, where all that they need is here
SAYS = {
    "embedding": ["label ", "0 of 2 golden vectors differ"],
    "checkpoint-format": ["8 time steps", "accuracy "],
    "own-layer": ["is wrong"],
}
WITH_CODE = [page for page in PAGES if any(not one.left_out for one in worker.snippets(page))]


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.stem)
def test_every_snippet_runs(page: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mnist").symlink_to(ROOT / "data" / "mnist")
    done = subprocess.run(
        [sys.executable, "-W", "error", WORKER, page],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for words in SAYS.get(page.stem, ()):
        assert words in done.stdout or worker.missing(page.read_text(encoding="utf-8")), words
    print(done.stdout.splitlines()[-1])


def test_what_is_not_tested_is_counted() -> None:
    """Each of these says on the page that it is not."""
    told = Counter(
        f"{page.stem}: {one.left_out}"
        for page in PAGES
        for one in worker.snippets(page)
        if one.left_out
    )
    assert told == {
        "cuda: needs an NVIDIA GPU": 1,
        "sweeps: cifar10 is fetched": 1,
        "sweeps: needs several machines": 1,
    }


def test_a_code_block_has_a_language() -> None:
    for page in PAGES:
        lines = page.read_text(encoding="utf-8").splitlines()
        fences = [line for line in lines if line[:3] == "```"]
        opened = [line[3:].split()[:1] for line in fences[::2]]
        assert all(opened), f"{page.name} has a block of no language"


def test_a_snippet_that_fails_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    for code in ("python\nassert False", "sh\nfalse\ntrue", "sh\npip install x"):
        page.write_text(f"Text\n\n```{code}\n```\n")
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, WORKER, page], cwd=folder, capture_output=True, check=False, text=True
        )
        assert done.returncode != 0, code
