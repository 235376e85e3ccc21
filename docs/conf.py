"""How the pages become a site: ``python -m sphinx -W -b html docs build/docs``.

Pages are Markdown and one notebook; the API comes from the docstrings and the command line from
click. Nothing is fetched, neither while the site is built nor while it is read.
"""

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from sphinx.application import Sphinx  # noqa: E402

import snnr  # noqa: E402

project = "snnr"
author = "The snnr authors"
copyright = "2026, The snnr authors"
version = release = snnr.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_click", "extensions.docstrings",
              "extensions.contents",
              "extensions.formulas", "extensions.notebooks"]  # fmt: skip
root_doc = "index"
source_suffix = {".md": "markdown", ".ipynb": "markdown"}
exclude_patterns = ["_build"]

html_math_renderer = "mathml"
html_theme = "furo"
html_title = f"snnr {release}"
html_show_sourcelink = False
html_copy_source = False

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

# a name between single backticks is a link where there is something of that name
default_role = "py:obj"
maximum_signature_line_length = 88
autodoc_default_options = {"members": True, "undoc-members": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"


def setup(app: Sphinx) -> dict[str, Any]:
    return {"parallel_read_safe": True}
