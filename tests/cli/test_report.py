"""snnr report: one page, complete, that loads nothing and believes nothing."""

import base64
import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import h5py
import pytest
from click.testing import Result

import snnr
from snnr.report.chart import Axis, Series, chart

Run = Callable[..., Result]
_VOID = {"meta", "img", "br", "line", "path", "circle", "rect"}


class Page(HTMLParser):
    """Elements, texts, and whether every element is closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: dict[str, list[str]] = {}
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert tag in _VOID or self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.words.setdefault(self.open[-1], []).append(data)

    def told(self) -> list[str]:
        return [str(attrs["data-t"]) for _, attrs in self.elements if "data-t" in attrs]


def test_all_of_a_sweep_is_in_one_page(
    answer: Callable[..., dict[str, Any]], sweep_folder: Path, tmp_path: Path
) -> None:
    target = tmp_path / "deep" / "r.html"
    done = answer("report", sweep_folder, "-o", target, "--title", "All <of> it")
    assert done == {"report": str(target), "runs": 6, "details": 3}
    text = target.read_text(encoding="utf-8")
    page = Page(text)
    assert page.words["title"] == page.words["h1"] == ["All <of> it"]
    found = snnr.load(next(sweep_folder.glob("grad-r-*prior0.05-seed0-*")))
    cells = page.words["td"]
    assert f"{100 * found.accuracy:.2f} %" in cells
    assert {path.name for path in sweep_folder.glob("*-seed*")} <= set(cells)
    for words in ("connectivity, % (log scale)", "firing rate, %", "silent neurons, %",
                  "theta of all (below 0: pruned)", "time step"):  # fmt: skip
        assert words in page.words["text"], words
    told = page.told()
    assert any(re.fullmatch(r"dense\ndense\n[\d.]+ % at 100.00 %, 2 seeds", t) for t in told)
    last = f"1_linear\nepoch 2: {100 * found.history['layer_connectivity']['1_linear'][1]:.4g} %"
    assert last in told
    assert sum(tag == "img" for tag, _ in page.elements) == 6
    assert answer("report", sweep_folder, "-o", target, "--each")["details"] == 6


def test_the_page_loads_nothing_and_runs_its_own_script_alone(
    run: Run, sweep_folder: Path, tmp_path: Path
) -> None:
    run("report", next(sweep_folder.glob("dense-*")), "-o", tmp_path / "r.html")
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    for tag, attrs in page.elements:
        assert tag not in ("link", "iframe", "object", "base", "form")
        assert not any(name.startswith("on") for name in attrs)
        for name in ("src", "href", "action"):
            assert (attrs.get(name) or "data:image/png;base64,").startswith("data:image/png;")
    (script,) = page.words["script"]
    (policy,) = [a["content"] for tag, a in page.elements if "http-equiv" in a]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert f"script-src 'sha256-{digest}';" in policy


def test_names_of_a_stranger_stay_text(run: Run, sweep_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "x<img src=x onerror=alert(1)>.h5"
    path.write_bytes((next(sweep_folder.glob("dense-*")) / "checkpoint.h5").read_bytes())
    odd = '"><script>alert(1)<!-- \u202e'
    with h5py.File(path, "a") as file:
        file.attrs["format_version"] = 1
        file["history/firing_rate"].move("2_lif", odd)
    run("report", path, "-o", tmp_path / "r.html")
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert page.words["h1"] == [path.name]
    assert len(page.words["script"]) == 1
    assert not any(attrs.get("src") == "x" for _, attrs in page.elements)
    assert any('"><script>alert(1)<!-- \\u202e\nepoch 1' in told for told in page.told())


def test_what_cannot_be_shown_is_told(
    run: Run, sweep_folder: Path, tmp_path: Path
) -> None:
    run("report", next(sweep_folder.glob("dense-*")), "--image", 999, "-o", tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Not everything can be shown: " in text
    assert "test images 0 to 79, and none 999" in text
    assert "holds neither a run" in run("report", tmp_path, code=1).stderr


def test_points_lie_where_they_belong() -> None:
    series = Series("a", [1, 10, 100], [0.0, 5.0, 10.0])
    drawn = chart([series], Axis("x", log=True), Axis("y"), "n")
    places = [(float(x), float(y)) for x, y in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', drawn)]
    (left, low), middle, (right, high) = places
    assert middle == (pytest.approx((left + right) / 2, abs=0.1),
                      pytest.approx((low + high) / 2, abs=0.1))  # fmt: skip
    assert left < right
    assert low > high
    ticks = re.findall(r'<text class="x" x="([\d.]+)" y="\d+">(\d+)</text>', drawn)
    at = {int(text): float(x) for x, text in ticks}
    assert at[10] == pytest.approx(middle[0], abs=0.1)


@pytest.mark.parametrize("values", [[], [0.0], [3.0, 3.0], [1e-12, 1e12], [-5.0, float("nan")]])
@pytest.mark.parametrize("log", [False, True])
def test_any_numbers_can_be_drawn(values: list[float], log: bool) -> None:
    drawn = chart([Series("a", values, values, front=bool(values))], Axis("x", log=log),
                  Axis("y", log=log), "n")  # fmt: skip
    Page(drawn)


#: moves the mouse onto the second point of the first chart, and writes down what the page says
HOVER = """
const mark = document.querySelectorAll('figure.chart circle')[1];
const box = mark.getBoundingClientRect(), svg = mark.ownerSVGElement;
svg.dispatchEvent(new MouseEvent('mousemove', {clientX: box.left + 2, clientY: box.top + 2}));
const tip = svg.parentNode.querySelector('.tip');
document.body.dataset.said = tip.hidden ? 'nothing' : tip.textContent;
document.body.dataset.expected = mark.dataset.t;
svg.dispatchEvent(new MouseEvent('mouseleave'));
document.body.dataset.after = tip.hidden ? 'hidden' : 'shown';
"""


@pytest.mark.slow
def test_a_browser_shows_the_values_under_the_mouse(
    run: Run, sweep_folder: Path, tmp_path: Path
) -> None:
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    if browser is None:
        pytest.skip("there is no Chromium here")
    path = tmp_path / "r.html"
    run("report", sweep_folder, "-o", path)
    digest = base64.b64encode(hashlib.sha256(HOVER.encode()).digest()).decode()
    text = path.read_text(encoding="utf-8")
    text = text.replace("script-src '", f"script-src 'sha256-{digest}' '")
    path.write_text(text.replace("</body>", f"<script>{HOVER}</script></body>"), encoding="utf-8")
    common = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1300,2000",
              f"--user-data-dir={tmp_path / 'profile'}"]  # fmt: skip
    dom = subprocess.run(
        [*common, "--dump-dom", path.as_uri()], capture_output=True, text=True, timeout=120
    ).stdout
    (body,) = (attrs for tag, attrs in Page(dom).elements if tag == "body")
    assert body["data-said"] == body["data-expected"]
    assert "epoch" in str(body["data-said"]) or "% at" in str(body["data-said"])
    assert body["data-after"] == "hidden"
    shot = tmp_path / "shot.png"
    subprocess.run(
        [*common, f"--screenshot={shot}", path.as_uri()], capture_output=True, timeout=120
    )
    assert shot.read_bytes().startswith(b"\x89PNG")
    assert shot.stat().st_size > 20_000
