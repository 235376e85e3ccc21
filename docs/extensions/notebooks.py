"""A notebook as a page: its cells and the outputs that are stored in it."""

from typing import Any

from notebook import markdown
from sphinx.application import Sphinx


def read(app: Sphinx, name: str, source: list[str]) -> None:
    path = app.env.doc2path(name)
    if path.suffix == ".ipynb":
        source[0] = markdown(source[0], app.srcdir / "_build" / name)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("source-read", read)
    return {"parallel_read_safe": True}
