"""Draws the figures of the pages about neurons, methods and runs, from snnr's own functions.

    python docs/figures.py [NAME ...]

writes them beside the pages. `run` trains for half a minute; the others take seconds.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import snnr
from snnr.figures import drawn, gather
from snnr.figures.style import COLORS, DASHES, style
from snnr.kernels import rules
from snnr.optim.steering import planned

HERE = Path(__file__).resolve().parent
STEPS = 1000  # of the training that `schedules` and `grad_r` show


def panels(rows: int, columns: int, size: tuple[float, float], **more: Any) -> Any:
    """A figure of that many inches, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **more)


def surrogates() -> Any:
    """Primitive and derivative of each surrogate, with its usual steepness."""
    figure, ((left, right),) = panels(1, 2, (8, 3.4))
    x = np.linspace(-2, 2, 801)
    for number, (name, factory) in enumerate(snnr.surrogate.FACTORIES.items()):
        made = factory()
        look = {"color": COLORS[number], "linestyle": [*DASHES, (0, (1, 1))][number]}
        left.plot(x, made.primitive(x), label=f"{name}, alpha = {made.alpha:g}", **look)
        right.plot(x, made.derivative(x), **look)
    left.plot([-2, 0, 0, 2], [0, 0, 1, 1], color="0.4", linewidth=1, label="the step itself")
    left.set(title="In the forward pass of a check: g", ylabel="g(x)")
    right.set(title="In the backward pass: g'", ylabel="g'(x)")
    for axes in (left, right):
        axes.set(xlabel="x = h - v_threshold", xlim=(-2, 2))
    figure.legend(*left.get_legend_handles_labels(), loc="outside right center")
    return figure


def potentials(current: np.ndarray, v_reset: float | None) -> tuple[np.ndarray, np.ndarray]:
    """h before each reset and v after it, of one neuron with the paper's settings."""
    neuron = rules.lif_neuron(v_reset=v_reset)
    h, v, now = np.empty(len(current)), np.empty(len(current)), neuron.v_reset
    for t, x in enumerate(current):
        h[t] = rules.charge(now, x, neuron.decay, neuron.drive, neuron.rest)
        s = float(rules.fire(h[t], neuron.v_threshold))
        soft = rules.reset_soft(h[t], s, neuron.v_threshold)
        now = v[t] = soft if neuron.soft else rules.reset_hard(h[t], s, neuron.v_reset)
    return h, v


def lif() -> Any:
    """One neuron under a current: potentials, spikes, and how strongly each step learns."""
    current = np.array([0.6] * 6 + [1.3] * 8 + [0.0] * 4 + [3.2] * 5 + [0.0] * 3)
    steps = np.arange(len(current))
    figure, ((top,), (middle,), (bottom,)) = panels(
        3, 1, (7, 6), sharex=True, height_ratios=(1, 2.2, 1.2)
    )
    top.stairs(current, np.arange(len(current) + 1) - 0.5, color="0.3")
    top.set(ylabel="current x[t]", title="LIF, tau = 2, v_threshold = 1")
    for (name, reset), color, mark, dash in zip(
        {"hard reset to 0": 0.0, "soft reset": None}.items(), COLORS[::3], "os", "-:", strict=False
    ):
        h, v = potentials(current, reset)
        # charge within a step, then the reset
        t = np.stack([steps - 0.5, steps, steps], 1).ravel()
        path = np.stack([np.r_[0, v[:-1]], h, v], 1).ravel()
        middle.plot(t, path, color=color, linestyle=dash, label=name)
        fired = h >= 1
        middle.plot(
            steps[fired], h[fired], mark, color=color, label=f"spikes, {name}", fillstyle="none"
        )
        slope = snnr.surrogate.ATan().derivative(h - 1)
        bottom.plot(steps, slope, mark + dash, color=color, markersize=3, label=name)
    middle.axhline(1, color="0.4", linewidth=0.8, linestyle="--")
    middle.text(0, 1.02, "threshold", va="bottom", color="0.3")
    middle.set_ylabel("potential")
    middle.legend(loc="upper left", bbox_to_anchor=(0.12, 1))
    bottom.set(ylabel="g'(h[t] - 1)", xlabel="time step t", ylim=(0, 1.1))
    return figure


def connection(gradients: np.ndarray, prior: float) -> np.ndarray:
    """theta of one connection of Grad R (Adam's form, sign +1, lr 1e-3) after each step."""
    theta, m, v = 0.02, 0.0, 0.0
    path = []
    mu = float(np.log(2 - 2 * 0.95) / prior)
    for step, g in enumerate(gradients, 1):
        m = rules.moment1(m, g, 0.9, 1 - 0.9)
        v = rules.moment2(v, g, 0.999, 1 - 0.999)
        size = 1e-3 / (1 - 0.9**step)
        delta = rules.adam_delta(m, v, size, (1 - 0.999**step) ** -0.5, 1e-8)
        theta = rules.grad_r_theta(theta, 1, delta, size * prior, mu)
        path.append(theta)
    return np.array(path)


def grad_r() -> Any:
    """theta to w, and three connections under the same prior."""
    figure, ((left, right),) = panels(1, 2, (8.4, 3.6), width_ratios=(1, 1.8))
    theta = np.linspace(-0.06, 0.06, 241)
    for sign, color, dash in ((1, COLORS[0], "-"), (-1, COLORS[3], "--")):
        w = [rules.grad_r_weight(x, sign) for x in theta]
        left.plot(theta, w, color=color, linestyle=dash, label=f"sign {sign:+d}")
    left.axvspan(-0.06, 0, color="0.92", zorder=0)
    left.text(-0.03, 0.045, "pruned", ha="center", color="0.3")
    left.set(
        xlabel="theta", ylabel="w = sign max(theta, 0)", xlim=(-0.06, 0.06), xticks=[-0.05, 0, 0.05]
    )
    left.legend(loc="lower left")

    rng = np.random.default_rng(0)
    noise = rng.normal(size=STEPS)
    pull = {"never of use": 0.0, "of use": -0.5, "of use from step 400 on": -0.8}
    for number, (name, mean) in enumerate(pull.items()):
        when = np.arange(STEPS) >= (400 if number == 2 else 0)
        path = connection(noise + mean * when, prior=0.15)
        right.plot(path, color=COLORS[number * 2], linestyle=DASHES[number], label=name)
    right.axhspan(right.get_ylim()[0], 0, color="0.92", zorder=0)
    right.axhline(0, color="0.4", linewidth=0.8)
    right.text(STEPS * 0.99, -0.004, "pruned: w = 0", ha="right", va="top", color="0.3")
    right.set(xlabel="step", ylabel="theta", xlim=(0, STEPS), title="Three connections, prior 0.15")
    right.margins(y=0)
    right.legend(loc="upper left")
    return figure


def schedules() -> Any:
    """Connectivity that each method allows or aims at, on the way to 5 %."""
    figure, ((axes,),) = panels(1, 1, (7, 3.8))
    place = np.linspace(0, 1, STEPS + 1)
    weight = snnr.Parameter(np.ones((4, 4), np.float32), "weight", "weight")
    magnitude = snnr.optim.Magnitude([weight], target_connectivity=0.05)
    imp = snnr.optim.IMP([weight], target_connectivity=0.05)
    for method in (magnitude, imp):
        method.begin(None, STEPS)
    pruned = np.searchsorted(imp.prunings(), np.arange(STEPS + 1), side="right")
    curves = {
        "Grad R and STDS, steered (aim)": [planned(x, 0.05)[0] for x in place],
        "magnitude (exact, every 100 steps)": [
            magnitude.allowed(100 * (t // 100)) for t in range(STEPS + 1)
        ],
        "IMP (exact, 5 rounds)": 0.05 ** (pruned / imp.rounds),
        "Deep R, SET, RigL (exact)": np.full(STEPS + 1, 0.05),
    }
    for number, (name, values) in enumerate(curves.items()):
        axes.plot(
            100 * place, 100 * np.asarray(values), label=name, color=COLORS[number],
            linestyle=DASHES[number],
        )  # fmt: skip
    axes.set(
        xlabel="steps done (% of the training)", ylabel="connections (% of the weights)",
        title="On the way to 5 %", xlim=(0, 100), ylim=(0, 103),
    )  # fmt: skip
    axes.legend()
    return figure


def run() -> dict[str, Any]:
    """Figures that `snnr plot` draws of a run: 12,000 images, 8 epochs, steered to 5 %."""
    mnist = snnr.data.load("mnist", limit_train=12_000)
    net = snnr.models.mnist_fc(T=8, seed=0)
    optimizer = snnr.optim.GradR(net.parameters(), lr=1e-3, target_connectivity=0.05)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mnist, steered to 5 %" / "checkpoint.h5"
        path.parent.mkdir()
        snnr.Trainer(net, optimizer, mnist, epochs=8, checkpoint=path).fit()
        runs = gather([path])
        names = ["layers", "histograms", "changes"]
        made = {f"run-{name}": figure for name, _, figure in drawn(runs, names, runs)}
    return made


FIGURES: dict[str, Callable[[], Any]] = {
    "surrogates": surrogates, "lif": lif, "grad-r": grad_r, "schedules": schedules, "run": run,
}  # fmt: skip


def main() -> None:
    style()
    for name in sys.argv[1:] or FIGURES:
        made = FIGURES[name]()
        for title, figure in (made if isinstance(made, dict) else {name: made}).items():
            figure.savefig(HERE / f"{title}.png", dpi=110, metadata={"Software": None})
            print(f"{title}.png")


if __name__ == "__main__":
    main()
