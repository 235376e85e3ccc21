"""Notebooks without Jupyter: run the cells in order, keep what they print, write them as Markdown.

    python docs/notebook.py docs/tutorial.ipynb

runs the notebook in a folder of its own and stores the new outputs in it.
"""

import ast
import base64
import contextlib
import io
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PNG = "image/png"
PLAIN = "text/plain"


def lines(source: str | list[str]) -> str:
    """Text of a cell or an output, which a notebook may keep as a list of lines."""
    return source if isinstance(source, str) else "".join(source)


def shown(value: Any) -> dict[str, Any]:
    """What a notebook shows of the value of a cell's last line."""
    data: dict[str, Any] = {PLAIN: repr(value).splitlines(keepends=True)}
    if hasattr(value, "savefig"):
        picture = io.BytesIO()
        value.savefig(picture, format="png", dpi=100, metadata={"Software": None})
        data = {PNG: base64.b64encode(picture.getvalue()).decode(), PLAIN: ["<Figure>"]}
    return {"output_type": "execute_result", "metadata": {}, "data": data}


def run(source: str, names: dict[str, Any]) -> list[dict[str, Any]]:
    """Outputs of one cell, run in the namespace `names`: what it prints, then its last value."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    said = io.StringIO()
    value = None
    with contextlib.redirect_stdout(said):
        exec(compile(tree, "cell", "exec"), names)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    outputs: list[dict[str, Any]] = []
    if said.getvalue():
        text = said.getvalue().splitlines(keepends=True)
        outputs.append({"output_type": "stream", "name": "stdout", "text": text})
    if value is not None:
        outputs.append(shown(value))
    return outputs


def execute(notebook: dict[str, Any]) -> dict[str, Any]:
    """A copy of `notebook` with the outputs of a run in the current folder."""
    names: dict[str, Any] = {"__name__": "__main__"}
    made = json.loads(json.dumps(notebook))
    code = [cell for cell in made["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(code, 1):
        cell["outputs"] = run(lines(cell["source"]), names)
        cell["execution_count"] = number
        for output in cell["outputs"]:
            if output["output_type"] == "execute_result":
                output["execution_count"] = number
    return made


def markdown(text: str, pictures: Path) -> str:
    """A notebook's JSON as Markdown; its pictures become files of the folder `pictures`."""
    parts = []
    for number, cell in enumerate(json.loads(text)["cells"]):
        source = lines(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {PLAIN: output.get("text", "")})
            if PNG in data:
                pictures.mkdir(parents=True, exist_ok=True)
                (pictures / f"{number}.png").write_bytes(base64.b64decode(lines(data[PNG])))
                parts.append(f"![What the cell draws](/_build/{pictures.name}/{number}.png)")
            else:
                parts.append(f"```text\n{lines(data[PLAIN]).rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def main() -> None:
    path = Path(sys.argv[1]).resolve()
    notebook = json.loads(path.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        began = time.perf_counter()
        made = execute(notebook)
        os.chdir(path.parent)
    path.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{path.name}: {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main()
