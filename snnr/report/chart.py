"""Charts as SVG, whose points say what they are when the mouse is near."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from snnr.figures.style import COLORS

WIDTH, HEIGHT = 620, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 14, 14, 44
#: where the script says what is near the mouse
_TIP = '<p class="tip" hidden></p>'
#: dashes of the curves, in the order of the colours
_DASHES = ("", "7 4", "9 3 2 3", "2 3", "9 3 2 3 2 3")


def safe(text: object) -> str:
    """Text for HTML, also inside of an attribute."""
    return escape(str(text), quote=True)


@dataclass(frozen=True)
class Series:
    """A curve: points, what each says, and a spread around it (empty: none). `front` is drawn as
    broad steps behind the others."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    told: Sequence[str] = ()
    spread: Sequence[float] = ()
    front: bool = False


@dataclass(frozen=True)
class Axis:
    """What an axis shows. `low` is included in the range, where it is given."""

    label: str
    log: bool = False
    whole: bool = False
    low: float | None = None


@dataclass
class _Scale:
    """From values to pixels."""

    axis: Axis
    start: float
    end: float
    low: float = 0.0
    high: float = 1.0
    ticks: list[float] = field(default_factory=list)

    def fit(self, values: Sequence[float]) -> None:
        kept = [v for v in values if math.isfinite(v) and (v > 0 or not self.axis.log)]
        low, high = (min(kept), max(kept)) if kept else (1.0, 10.0)
        if self.axis.log:
            self.low, self.high = low / 1.25, high * 1.25
            wide = self.high / self.low
            subs = (1,) if wide > 2000 else (1, 2, 5) if wide > 4 else tuple(range(1, 10))
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            every = [sub * 10.0**power for power in powers for sub in subs]
            self.ticks = [tick for tick in every if self.low <= tick <= self.high]
            return
        low = low if self.axis.low is None else min(low, self.axis.low)
        room = 0.06 * (high - low) or 0.5
        self.low, self.high = low - room, high + room
        step = 10 ** math.floor(math.log10((self.high - self.low) / 4))
        step *= next(m for m in (1, 2, 5, 10) if (self.high - self.low) / (m * step) <= 7)
        step = max(step, 1) if self.axis.whole else step
        first = math.ceil(self.low / step)
        last = math.floor(self.high / step)
        self.ticks = [round(i * step, 12) for i in range(first, last + 1)]

    def at(self, value: float) -> float:
        low, high = self.low, self.high
        if self.axis.log:
            value, low, high = (math.log10(max(v, 1e-300)) for v in (value, low, high))
        share = (value - low) / (high - low)
        return self.start + min(max(share, -0.2), 1.2) * (self.end - self.start)


def chart(series: Sequence[Series], x: Axis, y: Axis, name: str) -> str:
    """An SVG with its legend; `name` says what it is to those who do not see it."""
    across = _Scale(x, _LEFT, WIDTH - _RIGHT)
    up = _Scale(y, HEIGHT - _BOTTOM, _TOP)
    across.fit([v for one in series for v in one.x])
    up.fit([v for one in series for v in _reach(one)])
    body = [_axes(across, up)]
    color = 0
    keys = []
    for one in series:
        if one.front:
            body.append(_front(one, across, up))
            keys.append(_key(one.label, "#c8c8c8", "", 7))
            continue
        shade, dash = COLORS[color % len(COLORS)], _DASHES[color % len(_DASHES)]
        body.append(_curve(one, across, up, shade, dash))
        keys.append(_key(one.label, shade, dash, 2.2))
        color += 1
    legend = f'<ul class="legend">{"".join(keys)}</ul>' if len(keys) > 1 else ""
    return (
        f'<figure class="chart"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{safe(name)}">{"".join(body)}</svg>{legend}{_TIP}</figure>'
    )


def _reach(one: Series) -> list[float]:
    if not one.spread:
        return list(one.y)
    pairs = list(zip(one.y, one.spread, strict=True))
    return [y - s for y, s in pairs] + [y + s for y, s in pairs]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:g}"


def _axes(across: _Scale, up: _Scale) -> str:
    parts = []
    for tick in up.ticks:
        at = up.at(tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{at:.1f}" '
                     f'y2="{at:.1f}"/><text class="y" x="{_LEFT - 7}" y="{at + 3.5:.1f}">'
                     f"{_number(tick)}</text>")  # fmt: skip
    for tick in across.ticks:
        at, foot = across.at(tick), HEIGHT - _BOTTOM
        parts.append(
            f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{foot}"/>'
            f'<text class="x" x="{at:.1f}" y="{foot + 16}">{_number(tick)}</text>'
        )
    foot, middle = HEIGHT - _BOTTOM, (_TOP + HEIGHT - _BOTTOM) / 2
    parts.append(f'<path class="axis" d="M{_LEFT} {_TOP}V{foot}H{WIDTH - _RIGHT}"/>')
    parts.append(f'<text class="x" x="{(_LEFT + WIDTH - _RIGHT) / 2}" y="{HEIGHT - 8}">'
                 f"{safe(across.axis.label)}</text>")  # fmt: skip
    parts.append(f'<text class="x" transform="translate(13 {middle}) rotate(-90)">'
                 f"{safe(up.axis.label)}</text>")  # fmt: skip
    return "".join(parts)


def _curve(one: Series, across: _Scale, up: _Scale, color: str, dash: str) -> str:
    places = [(across.at(x), up.at(y)) for x, y in zip(one.x, one.y, strict=True)]
    parts = []
    if any(one.spread):
        for (px, _), y, s in zip(places, one.y, one.spread, strict=True):
            parts.append(f'<path d="M{px:.1f} {up.at(y - s):.1f}V{up.at(y + s):.1f}" '
                         f'stroke="{color}" stroke-width="5" opacity=".25"/>')  # fmt: skip
    line = "L".join(f"{px:.1f} {py:.1f}" for px, py in places)
    parts.append(f'<path d="M{line}" fill="none" stroke="{color}" stroke-width="2" '
                 f'stroke-dasharray="{dash}"/>')  # fmt: skip
    size = 3.4 if len(places) < 40 else 1.6
    for (px, py), told in zip(places, one.told or [""] * len(places), strict=True):
        said = safe(f"{one.label}\n{told}" if told else one.label)
        parts.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="{size}" fill="{color}" '
                     f'data-t="{said}"/>')  # fmt: skip
    return "".join(parts)


def _front(one: Series, across: _Scale, up: _Scale) -> str:
    places = [(across.at(x), up.at(y)) for x, y in zip(one.x, one.y, strict=True)]
    path = f"M{places[0][0]:.1f} {places[0][1]:.1f}" if places else ""
    path += "".join(f"H{px:.1f}V{py:.1f}" for px, py in places[1:])
    return f'<path d="{path}" fill="none" stroke="#c8c8c8" stroke-width="7"/>'


def _key(label: str, color: str, dash: str, width: float) -> str:
    return (
        f'<li><svg width="30" height="10"><path d="M1 5H29" stroke="{color}" '
        f'stroke-width="{width}" stroke-dasharray="{dash}"/></svg>{safe(label)}</li>'
    )


def bars(counts: Any, edges: Any, label: str, color: str) -> str:
    """A histogram with counts on a log scale."""
    across, up = _Scale(Axis(label), _LEFT, 300 - _RIGHT), _Scale(Axis("connections"), 156, 12)
    across.fit(list(edges))
    top = max(1.0, *map(float, counts))
    powers = range(math.ceil(math.log10(top)) + 1)
    height = math.log10(2 * top + 1)

    def at(count: float) -> float:
        return up.start + math.log10(count + 1) / height * (up.end - up.start)

    parts = [
        f'<rect x="{across.at(a):.1f}" y="{at(n):.1f}" width="{across.at(b) - across.at(a):.1f}" '
        f'height="{156 - at(n):.1f}" fill="{color}" data-t="{_number(float(n))} from {a:.4g} to '
        f'{b:.4g}"/>'
        for n, a, b in zip(counts, edges, edges[1:], strict=False)
        if n
    ]
    parts += [f'<text class="y" x="{_LEFT - 7}" y="{at(10**p) + 3.5:.1f}">{10**p:,}</text>'
              for p in powers if 10**p <= 2 * top]  # fmt: skip
    parts += [f'<text class="x" x="{across.at(t):.1f}" y="170">{t:g}</text>'
              for t in across.ticks[::2]]  # fmt: skip
    parts.append(f'<path class="axis" d="M{_LEFT} 12V156H{300 - _RIGHT}"/>')
    parts.append(f'<text class="x" x="{(_LEFT + 300 - _RIGHT) / 2}" y="188">{safe(label)}</text>')
    return (
        f'<figure class="chart small"><svg viewBox="0 0 300 192" role="img" '
        f'aria-label="{safe(label)}">{"".join(parts)}</svg>{_TIP}</figure>'
    )


def table(titles: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Rows of text; numbers are aligned to the right by the page's style."""
    head = "".join(f"<th>{safe(title)}</th>" for title in titles)
    body = "".join(
        f"<tr>{''.join(f'<td>{safe(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    inside = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="wide"><table>{inside}</table></div>'
