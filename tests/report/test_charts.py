"""Charts and pictures of the report: ticks, bars and points lie where their numbers say."""

import base64
import re
import struct
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest

from snnr.figures.style import COLORS
from snnr.report.chart import Axis, Series, bars, chart, table
from snnr.report.pictures import diverging, grey, png, tiles


class Marks(HTMLParser):
    """Attributes of the elements of each kind, and the words of texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.of: dict[str, list[dict[str, str | None]]] = {}
        self.texts: list[tuple[dict[str, str | None], str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.of.setdefault(tag, []).append(dict(attrs))

    def handle_data(self, data: str) -> None:
        self.texts.append((self.of["text"][-1] if "text" in self.of else {}, data))

    def ticks(self, axis: str) -> dict[str, float]:
        """Word -> pixels, of the texts that stand at a tick."""
        return {
            word: float(at[axis] or "nan")
            for at, word in self.texts
            if at.get("class") == axis and at.get(axis) and re.fullmatch(r"[-\d.,e+]+", word)
        }

    def numbers(self, tag: str, *names: str) -> list[tuple[float, ...]]:
        return [tuple(float(one[name] or "nan") for name in names) for one in self.of.get(tag, [])]


@pytest.mark.parametrize(
    ("axis", "values", "expected"),
    [
        (Axis("a"), [0, 10], "0 2 4 6 8 10"),
        (Axis("a"), [97.2, 98.6], "97.5 98 98.5"),
        (Axis("a"), [5], "4.6 4.8 5 5.2 5.4"),
        (Axis("a", low=0), [3, 7], "0 2 4 6"),
        (Axis("a", low=0), [-3, 7], "-2 0 2 4 6"),
        (Axis("a", whole=True), [1, 2], "1 2"),
        (Axis("a", whole=True), [1, 30], "0 5 10 15 20 25 30"),
        (Axis("a", log=True), [0.7, 100], "1 2 5 10 20 50 100"),
        (Axis("a", log=True), [20, 30], "20 30"),
        (Axis("a", log=True), [0.01, 100], "0.01 0.1 1 10 100"),
        (Axis("a", log=True), [0, 50], "40 50 60"),
        (Axis("a", log=True), [1, 12_000], "1 10 100 1000 10,000"),
    ],
)
def test_ticks_are_round_and_lie_where_their_numbers_do(
    axis: Axis, values: list[float], expected: str
) -> None:
    for way in ("x", "y"):
        given = (axis, Axis("b")) if way == "x" else (Axis("b"), axis)
        told = ["here"] * len(values)
        same = [1.0] * len(values)
        series = Series("s", values, same, told) if way == "x" else Series("s", same, values, told)
        marks = Marks(chart([series], *given, "n"))
        ticks = marks.ticks(way)
        assert " ".join(ticks) == expected
        numbers = [float(word.replace(",", "")) for word in ticks]
        if len(numbers) < 2:
            continue
        scaled = np.log10(numbers) if axis.log else np.array(numbers)
        slope, start = np.polyfit(scaled, list(ticks.values()), 1)
        np.testing.assert_allclose(slope * scaled + start, list(ticks.values()), atol=0.11)
        for value, place in zip(values, marks.numbers("circle", f"c{way}"), strict=True):
            if value > 0 or not axis.log:
                at = np.log10(value) if axis.log else value
                below = 3.5 if way == "y" else 0.0  # a text hangs below its line
                assert place[0] == pytest.approx(slope * at + start - below, abs=0.2)


def test_a_spread_is_a_line_around_its_point_and_widens_the_view() -> None:
    def drawing(*spread: float) -> str:
        return chart([Series("s", [1, 2], [10.0, 20.0], spread=spread)], Axis("x"), Axis("y"), "n")

    drawn = drawing(0.0, 10.0)
    marks = Marks(drawn)
    assert max(float(word) for word in marks.ticks("y")) == 30
    _, (_, at) = marks.numbers("circle", "cx", "cy")
    lines = re.findall(r'd="M([\d.]+) ([\d.]+)V([\d.]+)"', drawn)
    low, high = map(float, lines[1][1:])
    assert (low + high) / 2 == pytest.approx(at, abs=0.1)
    one = marks.ticks("y")
    per_unit = abs(one["20"] - one["10"]) / 10
    assert low - high == pytest.approx(20 * per_unit, abs=0.3)
    assert 'opacity=".25"' in drawn
    assert 'opacity=".25"' not in drawing(0.0, 0.0)


def test_curves_have_a_look_of_their_own_and_a_front_lies_behind_them() -> None:
    front = Series("best", [1, 2, 3], [1.0, 2.0, 2.5], front=True)
    curves = [Series(f"c{n}", [1, 2], [n, n + 1.0], ["<a>", "b"]) for n in range(3)]
    drawn = chart([front, *curves], Axis("x"), Axis("y"), 'of "all"')
    marks = Marks(drawn)
    assert marks.of["svg"][0]["aria-label"] == 'of "all"'
    paths = [one for one in marks.of["path"] if one.get("fill") == "none"]
    assert [one["stroke"] for one in paths] == ["#c8c8c8", *COLORS[:3]]
    dashes = [one.get("stroke-dasharray") for one in paths[1:]]
    assert dashes == ["", "7 4", "9 3 2 3"]
    # steps: first across, then up
    assert re.fullmatch(r"M[\d.]+ [\d.]+(H[\d.]+V[\d.]+){2}", str(paths[0]["d"]))
    # a line through the points
    places = marks.numbers("circle", "cx", "cy")[:2]
    assert paths[1]["d"] == "M" + "L".join(f"{x} {y}" for x, y in places)
    keys = [word for at, word in marks.texts if word in {"best", "c0", "c1", "c2"}]
    assert keys == ["best", "c0", "c1", "c2"]
    assert marks.of["circle"][0]["data-t"] == "c0\n<a>"
    assert "<li>" not in chart(curves[:1], Axis("x"), Axis("y"), "n")
    few, many = (chart([Series("s", list(range(n)), [0.0] * n)], Axis("x"), Axis("y"), "n")
                 for n in (39, 40))  # fmt: skip
    assert Marks(few).numbers("circle", "r")[0] > Marks(many).numbers("circle", "r")[0]


def test_bars_are_as_high_as_their_counts_on_a_log_scale() -> None:
    drawn = bars(np.array([1, 0, 99]), np.array([-1.0, 0.0, 1.0, 2.0]), "w", "#111")
    marks = Marks(drawn)
    places = marks.numbers("rect", "x", "y", "width", "height")
    (x1, y1, wide1, high1), (x2, y2, wide2, high2) = places  # none where nothing was counted
    assert [one["data-t"] for one in marks.of["rect"]] == ["1 from -1 to 0", "99 from 1 to 2"]
    assert wide1 == wide2 == pytest.approx((x2 - x1) / 2, abs=0.1)
    assert y1 + high1 == y2 + high2 == 156
    assert high2 / high1 == pytest.approx(np.log(100) / np.log(2), rel=0.01)
    assert marks.ticks("x") == {"-1": x1, "0": pytest.approx(x1 + wide1, abs=0.1), "1": x2,
                                "2": pytest.approx(x2 + wide2, abs=0.1)}  # fmt: skip
    up = marks.ticks("y")
    assert list(up) == ["1", "10", "100"]
    assert up["1"] == pytest.approx(y1 + 3.5, abs=0.1)
    for count, expected in ((0, ["1"]), (5, ["1", "10"])):
        one = Marks(bars(np.full(1, count), np.array([-1.0, 1.0]), "w", "#111"))
        assert list(one.ticks("y")) == expected


def test_a_table_escapes_what_it_is_given() -> None:
    told = table(("<a>", "b"), [("1", 2.5), ("&", None)])
    assert "<th>&lt;a&gt;</th><th>b</th>" in told
    assert "<tr><td>1</td><td>2.5</td></tr><tr><td>&amp;</td><td>None</td></tr>" in told


def test_pictures_are_png() -> None:
    pixels = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    image = base64.b64decode(png(pixels).removeprefix("data:image/png;base64,"))
    assert image.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", image[16:24]) == (4, 3)
    start = image.index(b"IDAT") + 4
    (length,) = struct.unpack(">I", image[start - 8 : start - 4])
    rows = np.frombuffer(zlib.decompress(image[start : start + length]), np.uint8).reshape(3, 13)
    np.testing.assert_array_equal(rows[:, 1:].reshape(3, 4, 3), pixels)


def test_weights_are_blue_and_red_with_white_at_nothing_and_grey_where_pruned() -> None:
    colors = diverging(np.array([[-1.0, 0.0, 1.0, np.nan]]))[0]
    assert [list(c) for c in colors] == [[5, 48, 97], [247, 247, 247], [103, 0, 31], [214] * 3]
    # half of the way in colour is a quarter of the weight: small ones are seen
    half = diverging(np.array([[0.25, 1.0]]))[0, 0].astype(float)
    np.testing.assert_allclose(half, [175, 123.5, 139], atol=1)
    # the scale is that of the largest weight, whatever it is
    np.testing.assert_array_equal(diverging(np.array([[-6.0, 0.0, 6.0, np.nan]]))[0], colors)
    np.testing.assert_array_equal(diverging(np.zeros((1, 2))), np.full((1, 2, 3), 247))


def test_tiles_lie_side_by_side_with_a_line_between() -> None:
    images = np.arange(1.0, 11.0)[:, None, None] * np.ones((1, 2, 3))
    sheet = tiles(images)
    assert sheet.shape == (2 * 3 + 1, 8 * 4 + 1, 3)
    colors = diverging(images)
    for index, image in enumerate(colors):
        top, left = 3 * (index // 8) + 1, 4 * (index % 8) + 1
        np.testing.assert_array_equal(sheet[top : top + 2, left : left + 3], image)
    white = np.full(33 * 3, 255)
    for row in (0, 3, 6):
        np.testing.assert_array_equal(sheet[row].ravel(), white)
    assert tiles(images, columns=5).shape == (7, 21, 3)


def test_an_image_is_stretched_from_black_to_white() -> None:
    drawn = grey(np.array([[1.0, 3.0], [2.0, 1.0]]))
    assert drawn.tolist() == [[[0] * 3, [255] * 3], [[127] * 3, [0] * 3]]
    assert grey(np.zeros((2, 2))).tolist() == np.zeros((2, 2, 3), int).tolist()
    color = np.zeros((1, 2, 3))
    color[0, 1] = 1, 0, 0.5
    assert grey(color).tolist() == [[[0, 0, 0], [255, 0, 127]]]
