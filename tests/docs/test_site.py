"""The site is built without a warning, and everything public is on it."""

import inspect
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from sphinx.util.inventory import InventoryFile

import snnr

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
MODULES = {path.stem: f"snnr.{path.stem}".removesuffix(".snnr") for path in DOCS.glob("api/*.md")}


def public(name: str) -> list[str]:
    """Names of a module that people may use."""
    module = import_module(name)
    own = [key for key, value in vars(module).items() if key[0] != "_" and
           getattr(value, "__module__", "") == name]  # fmt: skip
    return list(getattr(module, "__all__", own))


def lacking(name: str, found: object) -> list[str]:
    """Of a class or function, and of the methods that a class has of its own, what has no text."""
    told = [] if inspect.getdoc(found) else [name]
    if inspect.isclass(found):
        for key, value in vars(found).items():
            asked = callable(value) or isinstance(value, property | classmethod)
            if asked and key[0] != "_" and not inspect.getdoc(getattr(found, key)):
                told.append(f"{name}.{key}")
    return told


@pytest.mark.parametrize("name", MODULES.values())
def test_every_public_name_says_what_it_is(name: str) -> None:
    module = import_module(name)
    assert inspect.getdoc(module)
    for key in public(name):
        found = getattr(module, key)
        if inspect.isclass(found) or inspect.isfunction(found):
            assert lacking(f"{name}.{key}", found) == []


def test_every_public_module_has_a_page() -> None:
    assert {f"snnr.{name}" for name in snnr._MODULES} <= set(MODULES.values())
    assert {module for module in snnr._LAZY.values() if module.count(".") == 1} <= {
        *MODULES.values(), "snnr.tensor", "snnr.gradient_check",
    }  # fmt: skip


def test_every_page_is_on_the_front_page() -> None:
    listed = set(re.findall(r"\]\(([\w/-]+\.(?:md|ipynb))\)", (DOCS / "index.md").read_text()))
    pages = {path.relative_to(DOCS).as_posix() for end in ("md", "ipynb")
             for path in DOCS.rglob(f"*.{end}")}  # fmt: skip
    assert listed == pages - {"index.md"}


def test_every_link_leads_somewhere() -> None:
    """On a code host too, where the pages are read as they lie."""
    for page in [*ROOT.glob("*.md"), *DOCS.glob("*.md"), DOCS / "tutorial.ipynb"]:
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if not link.startswith(("http:", "https:")):
                assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_the_citation_is_of_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {project['version']}\n" in citation
    for author in project["authors"]:
        assert author["name"] in citation
        assert author["name"] in (ROOT / "LICENSE").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_site(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-E", "-b", "html",
         "-d", tmp_path / "doctrees", DOCS, tmp_path / "site"],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    site = tmp_path / "site"
    with (site / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda base, place: place)
    objects = {name for kind, found in inventory.items() if kind[:3] == "py:" for name in found}
    missing = [f"{module}.{key}" for module in MODULES.values() for key in public(module)
               if not {f"{home}.{key}" for home in homes(module, key)} & objects]  # fmt: skip
    assert missing == []
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "<merror" not in text, page
        # nothing that a reader's browser would fetch from elsewhere
        assert not re.search(r'(?:src|<link[^>]*href)="(?:https?:)?//', text), page
    assert "snnr train" in (site / "cli.html").read_text(encoding="utf-8")


def homes(module: str, key: str) -> set[str]:
    """Where a name may be described: names of the package itself are with their room."""
    if module != "snnr":
        return {module, "snnr"}
    if key in snnr._MODULES:
        return {"snnr"}
    return {"snnr", "snnr.errors", snnr._LAZY.get(key, "snnr")}
