"""The figures, drawn with matplotlib (extra ``plot``)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnr.checkpoint import Checkpoint, load
from snnr.errors import SnnrError, printable
from snnr.figures import answers, spikes, weights
from snnr.figures.matrix import confusion
from snnr.figures.runs import Group, Point, Run, groups, pareto, points
from snnr.figures.style import COLORS, DASHES, MARKERS, style

Figure = Any
Axes = Any

#: more curves than this are not told apart in one picture
_MAX_CURVES = 16


@dataclass(frozen=True)
class Kind:
    """A figure: what it shows, and whether it is of one run or of all that are given."""

    about: str
    single: bool
    asked: bool = False  # drawn where it is named alone: it takes a while


FIGURES: dict[str, Kind] = {
    "tradeoff": Kind("accuracy against connectivity", single=False),
    "epochs": Kind("accuracy and connectivity over epochs", single=False),
    "changes": Kind("connections pruned and regrown", single=True),
    "layers": Kind("connectivity, firing rate and silent share by layer", single=True),
    "histograms": Kind("histograms of theta and w", single=True),
    "fields": Kind("receptive fields of surviving connections", single=True),
    "raster": Kind("spikes that one test image sets off", single=True),
    "confusion": Kind("answers to the test images of each class", single=True, asked=True),
}


#: figures that need the network
_LOADED = {"histograms", "fields", "raster", "confusion"}


def drawn(
    runs: Sequence[Run],
    names: Sequence[str],
    singles: Sequence[Run] = (),
    image: int = 0,
    data_dir: str | None = None,
) -> Iterator[tuple[str, Run | None, "Figure | str"]]:
    """Draw: yields the figure's name, its run (None: of all), and the figure, or why there is none.

    Parameters
    ----------
    runs : of the figures that show all.
    singles : runs that get figures of their own.
    image : test image of the raster.

    Raises
    ------
    ConfigError : matplotlib is not installed.
    """
    style()  # says at once when there is nothing to draw with
    together: dict[str, Callable[[Sequence[Run]], Figure]] = {
        "tradeoff": tradeoff, "epochs": epochs,
    }  # fmt: skip
    for name in names:
        if name in together:
            yield name, None, together[name](runs)
    wanted = [name for name in names if FIGURES[name].single]
    for run in singles if wanted else ():
        found = load(run.path) if _LOADED & {*wanted} else None
        for name in wanted:
            try:
                yield name, run, _single(name, run, found, image, data_dir)
            except SnnrError as error:
                yield name, run, str(error)


def _single(
    name: str, run: Run, found: Checkpoint | None, image: int, data_dir: str | None
) -> "Figure | str":
    if name == "changes":
        return changes(run)
    if name == "layers":
        return layers(run)
    assert found is not None
    if name == "histograms":
        return histograms(run, weights.histograms(found))
    if name == "fields":
        made = weights.fields(found)
        return "its first weights do not look at an image" if made is None else fields(run, made)
    if name == "confusion":
        return confusion(run, answers.confusion(found, data_dir))
    return raster(run, spikes.raster(found, image, data_dir))


def _new(rows: int = 1, columns: int = 1, size: Any = (7.0, 4.4), **more: Any) -> Any:
    """A figure of that many inches, and its axes ``[rows, columns]``."""
    from matplotlib.figure import Figure as Canvas

    figure = Canvas(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **more)


def _percent(values: Any) -> Any:
    return 100 * np.asarray(values, float)


def _log_connectivity(axes: Axes, lowest: float) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.set_xlabel("connectivity: surviving weights, % (log scale)")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(0.7 * lowest, 140)


def tradeoff(runs: Sequence[Run]) -> Figure:
    """Accuracy against connectivity, a curve for each method (and network, and so on, where they
    differ), and the Pareto front."""
    figure, grid = _new(size=(7.4, 4.8))
    axes = grid[0, 0]
    found = points(runs)
    curves = list(dict.fromkeys(point.curve for point in found))
    front = pareto(found)
    if len(front) > 1:
        axes.step(
            _percent([p.connectivity for p in front]), _percent([p.accuracy for p in front]),
            where="post", color="0.8", linewidth=6, solid_joinstyle="round", zorder=1,
            label="Pareto front",
        )  # fmt: skip
    for index, curve in enumerate(curves):
        mine = [point for point in found if point.curve == curve]
        axes.errorbar(
            _percent([p.connectivity for p in mine]), _percent([p.accuracy for p in mine]),
            yerr=_percent([p.accuracy_spread for p in mine]),
            xerr=_percent([min(p.connectivity_spread, 0.9 * p.connectivity) for p in mine]),
            color=COLORS[index % len(COLORS)], marker=MARKERS[index % len(MARKERS)],
            linestyle=DASHES[index % len(DASHES)], markersize=6, capsize=2.5,
            label=printable(curve),
            zorder=3,
        )  # fmt: skip
    lowest = min((100 * p.connectivity for p in found if p.connectivity > 0), default=1.0)
    _log_connectivity(axes, lowest)
    axes.set_ylabel("accuracy on the test images, %")
    _title(axes, "Accuracy against connectivity", _seeds(found))
    axes.legend(loc="best")
    return figure


def _seeds(found: Sequence[Point]) -> str:
    most = max(point.seeds for point in found)
    return f"mean of up to {most} seeds, bars: one standard deviation" if most > 1 else "one seed"


def _title(axes: Axes, title: str, below: str = "") -> None:
    axes.set_title(printable(title), loc="left", fontweight="bold")
    if below:
        axes.set_title(printable(below), loc="right", fontsize=8, color="0.35")


def epochs(runs: Sequence[Run]) -> Figure:
    """Accuracy and connectivity over epochs, a curve for each setting."""
    every = groups(runs)
    shown = every[:_MAX_CURVES]
    figure, grid = _new(2, 1, (7.4, 6.0), sharex=True)
    top, bottom = grid[:, 0]
    for index, group in enumerate(shown):
        _band(top, group, "test_accuracy", index)
        _band(bottom, group, "connectivity", index)
    top.set_ylabel("test accuracy, %")
    bottom.set_ylabel("connectivity, % (log scale)")
    bottom.set_xlabel("epoch")
    _plain_log(bottom)
    _whole_numbers(bottom)
    notes = ["bands: one standard deviation over seeds"] * any(len(g.runs) > 1 for g in shown)
    notes += [f"{len(every) - len(shown)} further settings left out"] * (len(every) > len(shown))
    _title(top, "Test accuracy over epochs", "; ".join(notes))
    _title(bottom, "Connectivity over epochs")
    if len(shown) > 1:
        figure.legend(*top.get_legend_handles_labels(), loc="outside lower center",
                      ncols=1 if max(len(g.label) for g in shown) > 40 else 2)  # fmt: skip
    return figure


def _plain_log(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    subs = (1.0, 2.0, 5.0) if high / low > 3 else tuple(np.arange(1.0, 10.0))
    axes.yaxis.set_major_locator(LogLocator(subs=subs))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _whole_numbers(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _band(axes: Axes, group: Group, column: str, index: int) -> None:
    """Mean over seeds, and a band of one standard deviation."""
    at, mean, spread = group.mean(column)
    values, width = _percent(mean), _percent(spread)
    color = COLORS[index % len(COLORS)]
    axes.plot(
        at, values, color=color, linestyle=DASHES[index % len(DASHES)],
        marker=MARKERS[index % len(MARKERS)] if len(at) < 25 else None, markersize=4,
        label=printable(group.label),
    )  # fmt: skip
    if len(group.runs) > 1:
        axes.fill_between(at, values - width, values + width, color=color, alpha=0.18, linewidth=0)


def changes(run: Run) -> Figure:
    """Connections pruned and regrown since the epoch before, by layer."""
    from matplotlib.ticker import FuncFormatter, SymmetricalLogLocator

    figure, grid = _new(2, 1, (7.4, 5.4), sharex=True)
    for axes, name in zip(grid[:, 0], ("pruned", "regrown"), strict=True):
        _by_layer(axes, run, name, 1)
        axes.set_ylabel(f"{name} connections (log)")
        axes.set_yscale("symlog", linthresh=1)
        axes.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=1))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_ylim(bottom=-0.3)
    grid[-1, 0].set_xlabel("epoch")
    _whole_numbers(grid[-1, 0])
    _title(grid[0, 0], "Pruned since the epoch before", run.name)
    _title(grid[1, 0], "Regrown since the epoch before")
    return figure


def _by_layer(axes: Axes, run: Run, name: str, scale: float) -> None:
    """A curve for each layer, named beside the axes."""
    for index, (layer, column) in enumerate(run.layers(name).items()):
        axes.plot(
            run.epochs, scale * np.asarray(column, float), color=COLORS[index % len(COLORS)],
            linestyle=DASHES[index % len(DASHES)], label=printable(layer), markersize=4,
            marker=MARKERS[index % len(MARKERS)] if len(run.epochs) < 25 else None,
        )  # fmt: skip
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def layers(run: Run) -> Figure:
    """Connectivity, firing rate and silent share of each layer over epochs."""
    figure, grid = _new(3, 1, (7.4, 7.6), sharex=True)
    panels = (
        ("layer_connectivity", "connectivity, %", "Connectivity by layer"),
        ("firing_rate", "firing rate, %", "Firing rate by layer"),
        ("silent", "silent neurons, %", "Neurons that fire on no test image, by layer"),
    )  # fmt: skip
    for axes, (name, label, title) in zip(grid[:, 0], panels, strict=True):
        _by_layer(axes, run, name, 100)
        _title(axes, title, run.name if axes is grid[0, 0] else "")
        axes.set_ylabel(label)
        # a curve along 0 lies above the axis, and is seen whole
        axes.set_ylim(bottom=-0.04 * axes.get_ylim()[1] if name != "layer_connectivity" else None)
    grid[-1, 0].set_xlabel("epoch")
    _whole_numbers(grid[-1, 0])
    return figure


def histograms(run: Run, made: Sequence[weights.Histogram]) -> Figure:
    """Counts of theta and of surviving weights, a row for each layer."""
    shown = made[:8]
    figure, grid = _new(len(shown), 2, (7.4, 1.2 + 1.9 * len(shown)))
    for row, one in zip(grid, shown, strict=True):
        _bars(row[0], one.weight, COLORS[0])
        told = f"{one.name}: {one.nonzero:,} of {one.size:,} survive"
        row[0].set_title(printable(told), loc="left")
        if one.theta is None:
            row[1].text(0.5, 0.5, "the method keeps no theta", ha="center", va="center",
                        transform=row[1].transAxes, color="0.35")  # fmt: skip
            row[1].set_axis_off()
        else:
            _bars(row[1], one.theta, COLORS[3])
            row[1].axvline(0, color="0.2", linewidth=0.8, linestyle=":")
        row[0].set_ylabel("connections (log)")
    grid[-1, 0].set_xlabel("w of survivors")
    if grid[-1, 1].axison:
        grid[-1, 1].set_xlabel("theta of all (below 0: pruned)")
    figure.suptitle(printable(f"Weights of {run.name}"), x=0.01, ha="left", fontweight="bold")
    return figure


def _bars(axes: Axes, histogram: tuple[Any, Any], color: str) -> None:
    counts, edges = histogram
    axes.stairs(counts, edges, fill=True, color=color, linewidth=0)
    from matplotlib.ticker import FuncFormatter, SymmetricalLogLocator

    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=1))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def fields(run: Run, made: weights.Fields) -> Figure:
    """What the best connected neurons of the first layer look at."""
    columns = 8
    rows = -(-len(made.images) // columns)
    figure, grid = _new(rows, columns, (7.6, 0.8 + 1.0 * rows))
    most = float(np.nanmax(np.abs(made.images)))
    import matplotlib

    colors = matplotlib.colormaps["RdBu_r"].with_extremes(bad="#dcdcdc")
    shown = None
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, image, neuron, count in zip(
        grid.flat, made.images, made.outputs, made.connections, strict=False
    ):
        shown = axes.imshow(image, cmap=colors, vmin=-most, vmax=most, interpolation="nearest")
        axes.set_title(f"{neuron}:  {count}", fontsize=7, pad=2)
    bar = figure.colorbar(shown, ax=grid, shrink=0.8, pad=0.02)
    bar.set_label("weight; grey: pruned", fontsize=8)
    figure.suptitle(
        printable(f"{made.name} of {run.name}") + (
            f"\nthe {len(made.images)} of {made.total} with most "
            f"connections; above each its number and how many of {made.of} survive"
        ),
        x=0.01, ha="left", fontsize=9,
    )  # fmt: skip
    return figure


def raster(run: Run, made: spikes.Raster) -> Figure:
    """The image, and a row of dots for each neuron, layer by layer."""
    from matplotlib.gridspec import GridSpec
    from matplotlib.ticker import MaxNLocator

    figure, grid = _new(size=(7.6, 1.6 + 1.5 * max(len(made.layers), 2)))
    grid[0, 0].remove()
    heights = [max(0.35, np.sqrt(layer.spikes.shape[1])) for layer in made.layers] or [1]
    # the image beside the rasters, which share their time axis
    cells = GridSpec(len(heights), 2, figure, width_ratios=(1, 2.6), height_ratios=heights)
    left = figure.add_subplot(cells[:, 0])
    left.imshow(made.image, cmap="gray", interpolation="nearest")
    left.set_axis_off()
    told = f"test image {made.index}:\nclass {made.label}, answer {made.answer}"
    left.set_title(told, loc="left")
    first = None
    for place, layer in enumerate(made.layers):
        axes = figure.add_subplot(cells[place, 1], sharex=first)
        first = first or axes
        steps, neurons = np.nonzero(layer.spikes)
        height = 3.2 if layer.spikes.shape[1] <= 40 else 1.1
        axes.scatter(steps + 1, layer.chosen[neurons], marker="|", s=26 * height, linewidths=height,
                     color=COLORS[place % len(COLORS)])  # fmt: skip
        axes.set_ylim(layer.total - 0.5, -0.5)
        axes.set_xlim(0.4, len(layer.spikes) + 0.6)
        axes.set_ylabel("neuron")
        chosen = "" if layer.total == len(layer.chosen) else f", {len(layer.chosen)} shown"
        told = f"{layer.name}: {layer.total} neurons{chosen}, {100 * layer.rate:.1f} % firing"
        axes.set_title(printable(told), loc="left", fontsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.tick_params(labelbottom=place == len(made.layers) - 1)
        if place == len(made.layers) - 1:
            axes.set_xlabel("time step")
    figure.suptitle(printable(f"Spikes of {run.name}"), x=0.01, ha="left", fontweight="bold")
    return figure
