"""The page: tables and charts of all runs, then details of single ones."""

import base64
import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from snnr import __version__
from snnr.checkpoint import Checkpoint, load
from snnr.errors import SnnrError, printable
from snnr.figures.runs import Group, Run, groups, pareto, points
from snnr.figures.spikes import Raster, raster
from snnr.figures.style import COLORS
from snnr.figures.weights import fields, histograms
from snnr.report.assets import SCRIPT, STYLE
from snnr.report.chart import Axis, Series, bars, chart, safe, table
from snnr.report.pictures import grey, png, tiles

_EPOCH = Axis("epoch", whole=True)


def report(
    runs: Sequence[Run],
    singles: Sequence[Run],
    title: str,
    image: int = 0,
    data_dir: str | None = None,
) -> str:
    """The whole page as a text.

    Parameters
    ----------
    runs : what the tables and the charts at the top are about.
    singles : runs whose details stand below.
    image : test image whose spikes are shown.
    """
    body = [
        f"<h1>{_told(title)}</h1>",
        f'<p class="note">{len(runs)} run{"s" * (len(runs) != 1)}; written '
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC by snnr {__version__}</p>",
        _overview(runs),
    ]
    for run in singles:
        opened = " open" if len(singles) == 1 else ""
        details = _details(run, image, data_dir)
        body.append(f"<details{opened}><summary>{_told(run.name)}</summary>{details}</details>")
    return _document(title, "".join(body))


def _told(text: object) -> str:
    return safe(printable(str(text)))


def _document(title: str, body: str) -> str:
    # the page may load nothing, and run this script alone, whatever a file put into it
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode("ascii")
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{_told(title)}</title><style>{STYLE}</style></head>"
        f"<body>{body}<script>{SCRIPT}</script></body></html>\n"
    )


def _percent(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{100 * value:.{digits}f} %"


def _overview(runs: Sequence[Run]) -> str:
    found = points(runs)
    parts = []
    if len(found) > 1:
        parts.append("<h2>Accuracy against connectivity</h2>")
        if any(point.seeds > 1 for point in found):
            parts.append('<p class="note">Means over seeds; bars: one standard deviation.</p>')
    settings = table(
        ("setting", "seeds", "accuracy", "±", "connectivity", "±"),
        [
            (printable(p.label), p.seeds, _percent(p.accuracy),
             _percent(p.accuracy_spread if p.seeds > 1 else None), _percent(p.connectivity),
             _percent(p.connectivity_spread if p.seeds > 1 else None))
            for p in found
        ],
    )  # fmt: skip
    if len(found) > 1:
        front = pareto(found)
        curves = [
            Series("Pareto front", [100 * p.connectivity for p in front],
                   [100 * p.accuracy for p in front], front=True)
        ]  # fmt: skip
        for curve in dict.fromkeys(point.curve for point in found):
            mine = [point for point in found if point.curve == curve]
            curves.append(
                Series(
                    printable(curve), [100 * p.connectivity for p in mine],
                    [100 * p.accuracy for p in mine],
                    [f"{printable(p.label)}\n{_percent(p.accuracy)} at "
                     f"{_percent(p.connectivity)}, {p.seeds} seeds" for p in mine],
                    [100 * p.accuracy_spread for p in mine],
                )
            )  # fmt: skip
        picture = chart(curves, Axis("connectivity, % (log scale)", log=True),
                        Axis("test accuracy, %"), "accuracy against connectivity")  # fmt: skip
        parts.append(f'<div class="row">{picture}{settings}</div>')
    else:
        parts.append(settings)
    every = groups(runs)
    parts.append('<h2>Over epochs</h2><div class="row">')
    for column, axis in (
        ("test_accuracy", Axis("test accuracy, %")),
        ("connectivity", Axis("connectivity, % (log scale)", log=True)),
    ):
        curves = [_curve(group, column) for group in every]
        parts.append(chart(curves, _EPOCH, axis, f"{axis.label} over epochs"))
    parts.append("</div><h2>Runs</h2>")
    parts.append(table(
        ("run", "epochs", "accuracy", "best", "test loss", "connectivity", "seconds", "s/epoch"),
        [_row(run) for run in runs],
    ))  # fmt: skip
    return "".join(parts)


def _row(run: Run) -> tuple[Any, ...]:
    accuracy, seconds = run.column("test_accuracy"), run.column("seconds")
    return (
        printable(run.name), run.record.epoch, _percent(accuracy[-1]), _percent(max(accuracy)),
        f"{run.column('test_loss')[-1]:.5f}", _percent(run.record.connectivity),
        f"{sum(seconds):.1f}", f"{sum(seconds) / len(seconds):.2f}",
    )  # fmt: skip


def _curve(group: Group, column: str) -> Series:
    at, mean, spread = group.mean(column)
    told = [f"epoch {x}: {_percent(y)}" for x, y in zip(at, mean, strict=True)]
    return Series(
        printable(group.label), at, [100 * y for y in mean], told, [100 * s for s in spread]
    )


def _details(run: Run, image: int, data_dir: str | None) -> str:
    parts = ['<div class="row">']
    for name, label, scale, axis in (
        ("pruned", "pruned connections", 1, Axis("pruned since the epoch before", low=0)),
        ("regrown", "regrown connections", 1, Axis("regrown since the epoch before", low=0)),
        ("layer_connectivity", "connectivity by layer", 100, Axis("connectivity, %")),
        ("firing_rate", "firing rate by layer", 100, Axis("firing rate, %", low=0)),
        ("silent", "silent neurons by layer", 100, Axis("silent neurons, %", low=0)),
    ):
        curves = [
            Series(
                printable(layer), run.epochs, [scale * float(v) for v in column],
                [f"epoch {x}: {scale * v:,.4g}{' %' if scale > 1 else ''}"
                 for x, v in zip(run.epochs, column, strict=True)],
            )
            for layer, column in run.layers(name).items()
        ]  # fmt: skip
        if any(any(one.y) for one in curves):
            parts.append(chart(curves, _EPOCH, axis, label))
    parts.append("</div>")
    try:
        found = load(run.path)
        parts += [_weights(found), _spikes(raster(found, image, data_dir))]
    except SnnrError as error:
        parts.append(f'<p class="note">Not everything can be shown: {_told(error)}</p>')
    config = run.record.config
    rows = [(printable(str(k)), printable(json.dumps(config[k]))[:200]) for k in sorted(config)]
    parts.append(f"<h3>Settings</h3>{table(('setting', 'value'), rows)}")
    return "".join(parts)


def _weights(found: Checkpoint) -> str:
    parts = ["<h3>Weights</h3>"]
    for one in histograms(found):
        told = f"{one.name}: {one.nonzero:,} of {one.size:,} connections survive"
        parts.append(f'<p class="note">{_told(told)}</p><div class="row">')
        parts.append(bars(*one.weight, "w of survivors", COLORS[0]))
        if one.theta is not None:
            parts.append(bars(*one.theta, "theta of all (below 0: pruned)", COLORS[3]))
        parts.append("</div>")
    made = fields(found)
    if made is not None:
        sheet = tiles(made.images)
        zoom = max(3, 80 // made.images.shape[2])
        parts.append(
            f"<h3>Receptive fields of {_told(made.name)}</h3>"
            f'<figure class="picture"><img alt="receptive fields" width="{zoom * sheet.shape[1]}" '
            f'src="{png(sheet)}"><figcaption>The {len(made.images)} of {made.total} neurons with '
            f"most connections ({made.connections[0]} to {made.connections[-1]} of {made.of}); red "
            "is positive, blue negative, grey pruned.</figcaption></figure>"
        )
    return "".join(parts)


def _spikes(made: Raster) -> str:
    picture = grey(made.image)
    parts = [
        f"<h3>Spikes that test image {made.index} sets off</h3>"
        f'<div class="row"><figure class="picture"><img alt="test image" width="168" '
        f'src="{png(picture)}"><figcaption>class {made.label}, answer {made.answer}</figcaption>'
        "</figure>"
    ]
    for index, layer in enumerate(made.layers):
        steps, neurons = np.nonzero(layer.spikes)
        count, length = layer.spikes.shape[1], layer.spikes.shape[0]
        height, wide = 170 / count, 220 / length
        cells = "".join(
            f"M{50 + wide * t:.1f} {12 + height * n:.1f}h{0.8 * wide:.1f}v{0.9 * height:.2f}"
            f"h{-0.8 * wide:.1f}z"
            for t, n in zip(steps.tolist(), neurons.tolist(), strict=True)
        )
        numbers = "".join(f'<text class="x" x="{50 + wide * (t + 0.4):.1f}" y="198">{t + 1}</text>'
                          for t in range(0, length, max(1, length // 8)))  # fmt: skip
        shown = "" if count == layer.total else f", {count} shown"
        parts.append(
            f'<figure class="small chart"><svg viewBox="0 0 290 224" role="img" '
            f'aria-label="spikes of {_told(layer.name)}"><path class="axis" d="M46 12V184H276"/>'
            f'<path d="{cells}" fill="{COLORS[index % len(COLORS)]}"/>{numbers}'
            f'<text class="y" x="42" y="22">0</text><text class="y" x="42" y="184">'
            f'{layer.total - 1}</text><text class="x" x="160" y="218">time step</text>'
            f'<text class="x" transform="translate(14 98) rotate(-90)">neuron</text></svg>'
            f'<p class="tip" hidden></p><figcaption>{_told(layer.name)}: {layer.total} neurons'
            f"{shown}, {100 * layer.rate:.1f} % firing</figcaption></figure>"
        )
    return "".join(parts) + "</div>"
