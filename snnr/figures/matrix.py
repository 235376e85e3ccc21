"""The confusion matrix, drawn."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnr.errors import printable
from snnr.figures.runs import Run

#: with more classes the counts are not legible
_MOST_TOLD = 20


def confusion(run: Run, counts: NDArray[np.int64]) -> Any:
    """A cell for each class and answer: its share of the class as a shade, and how many images."""
    from matplotlib.figure import Figure as Canvas

    classes = len(counts)
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Canvas(figsize=(7.2, 6.2), layout="constrained")
    axes = figure.subplots()
    # the root: what is confused now and then is seen beside what is right
    shade = axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=10)
    axes.grid(visible=False)
    axes.set_xlabel("answer")
    axes.set_ylabel("class")
    if classes <= _MOST_TOLD:
        axes.set_xticks(range(classes))
        axes.set_yticks(range(classes))
        for row, column in np.argwhere(counts):
            axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center",
                      fontsize=8 if classes <= 10 else 6,
                      color="white" if shares[row, column] > 40 else "0.15")  # fmt: skip
    bar = figure.colorbar(shade, shrink=0.85, ticks=np.sqrt([0, 1, 5, 20, 50, 100]))
    bar.ax.set_yticklabels(["0", "1", "5", "20", "50", "100"])
    bar.set_label("share of the images of the class, %")
    right = np.trace(counts) / max(counts.sum(), 1)
    figure.suptitle(
        printable(f"Answers of {run.name}: {100 * right:.2f} % right"), x=0.01, ha="left",
        fontweight="bold",
    )  # fmt: skip
    return figure
