"""The tree of pages, and the links out of it.

The front page is a list of links that reads well by itself: each of its sections becomes one of the
tree. A link to a file of the repository, which is not on the site, becomes the file's name.
"""

import re
from typing import Any

from sphinx.application import Sphinx

SECTION = re.compile(r"^## (.+)\n((?:.|\n)*?)(?=^## |\Z)", re.MULTILINE)
PAGE = re.compile(r"\]\(([\w/-]+)\.(?:md|ipynb)\)")
OUTSIDE = re.compile(r"(?<!!)\[([^]]+)\]\((?:\.\./)+([^)#]+)(?:#[^)]*)?\)")


def tree(text: str) -> str:
    """`text` of the front page, followed by what it says as tables of contents."""
    for title, listed in SECTION.findall(text):
        pages = dict.fromkeys(PAGE.findall(listed))
        text += "\n".join(["\n```{toctree}", ":hidden:", f":caption: {title}", "", *pages, "```\n"])
    return text


def outside(link: re.Match[str]) -> str:
    text, path = link.groups()
    named = path.strip("/") in text or text.strip("/") in path
    return text if named else f"{text} (`{path}`)"


def read(app: Sphinx, name: str, source: list[str]) -> None:
    if not name.startswith("api/"):
        source[0] = OUTSIDE.sub(outside, source[0])
    if name == app.config.root_doc:
        source[0] = tree(source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("source-read", read)
    return {"parallel_read_safe": True}
