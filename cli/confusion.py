"""Which classes are taken for which, for people."""

import click
import numpy as np
from numpy.typing import NDArray
from snnr.cli.common import percent
from snnr.cli.screen import print_table, width

#: mistakes that are listed where the matrix is too wide
_LISTED = 20


def print_confusion(counts: NDArray[np.int64]) -> None:
    """Counts ``[class, answer]`` as a matrix; one that the terminal has no room for as a list of
    the most frequent mistakes."""
    classes = len(counts)
    of, right = counts.sum(axis=1), np.diag(counts)
    shares = [percent(n / all) if all else "-" for n, all in zip(right, of, strict=True)]
    titles = ("class", *map(str, range(classes)), "right")
    for form in ("{:,}", "{}"):
        rows = [
            (str(c), *(form.format(n) if n else "." for n in counts[c]), shares[c])
            for c in range(classes)
        ]
        sizes = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
        if sum(sizes) + 2 * len(sizes) - 2 <= width():
            click.echo("answers to the images of each class")
            print_table(titles, rows)
            return
    wrong = counts - np.diag(right)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_LISTED]
    places = [divmod(int(place), classes) for place in order]
    shown = [(c, a) for c, a in places if wrong[c, a]]
    click.echo(f"the most frequent of {wrong.sum():,} mistakes ({classes} classes; --json has all)")
    print_table(
        ("class", "answer", "images", "of its class"),
        [(str(c), str(a), f"{wrong[c, a]:,}", percent(wrong[c, a] / of[c])) for c, a in shown],
        left=(),
    )
