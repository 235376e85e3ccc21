"""How figures look: colours that the colour-blind tell apart, each with a mark and a dash of its
own."""

from snnr.errors import ConfigError

#: Okabe and Ito (2008), without the yellow that is lost on white
COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))


def style() -> None:
    """Set what all figures share.

    Raises
    ------
    ConfigError : matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise ConfigError(
            "drawing needs matplotlib, which is not installed: pip install 'snnr[plot]'"
        ) from None
    matplotlib.rcParams.update(
        {
            "font.size": 9,
            "axes.titlesize": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.alpha": 0.25,
            "grid.linewidth": 0.6,
            "legend.frameon": False,
            "legend.fontsize": 8,
            "lines.linewidth": 1.6,
            # names of layers are a stranger's; nothing in them is a formula
            "text.parse_math": False,
            # the same figure gives the same bytes
            "svg.hashsalt": "snnr",
        }
    )
