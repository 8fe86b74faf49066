"""The plot: monthly cost by live sessions, of this design and of the alternatives."""

import hashlib
import json
from pathlib import Path
from typing import Final, NamedTuple

from tools.cost.bill import DESIGNS, this_design, total
from tools.cost.page import money, number
from tools.cost.prices import INFINITY

PLOT: Final = Path(__file__).resolve().parents[2] / "docs" / "images" / "cost-by-live-sessions.svg"
POINTS: Final = tuple(round(10 ** (quarters / 4)) for quarters in range(12, 33))
"""Live sessions, from a thousand to a hundred million."""
GREY: Final = "#757575"
COLOURS: Final = ("#c1440e", "#8e6c00", "#0b5394", "#3d7a37")
LABEL_GAP: Final = 2.6
"""Between the names of two lines, as a factor of dollars."""


class Line(NamedTuple):
    """Dollars a month at each of `POINTS`, and how many live sessions the design bears as it is."""

    name: str
    dollars: list[float]
    reach: float


def lines() -> list[Line]:
    """Work out what the plot shows: each design, and what the rest of the bill is for all of them."""
    rest = Line("the rest of the bill", [total(live) - this_design(live) for live in POINTS], INFINITY)
    return [rest, *(Line(each.name, [each.cost(live) for live in POINTS], each.reach) for each in DESIGNS)]


def digest() -> str:
    """Name what is shown; the file carries it, so that a test can tell whether it is the present one."""
    shown = [[line.name, [f"{dollars:.4g}" for dollars in line.dollars], f"{line.reach:.4g}"] for line in lines()]
    return hashlib.sha256(json.dumps([shown, POINTS]).encode()).hexdigest()[:16]


def draw(path: Path) -> None:
    """Draw it, both axes logarithmic; each line bears its name, and is dotted beyond its reach."""
    import matplotlib as mpl  # noqa: PLC0415 - only drawing needs it, and it takes a second

    mpl.use("agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    with mpl.rc_context({"svg.hashsalt": "agent-sessions", "svg.fonttype": "path", "font.size": 10}):
        figure, axes = plt.subplots(figsize=(10, 5.6), layout="constrained")
        label_at = INFINITY
        for line, colour in zip(lines(), (GREY, *COLOURS), strict=True):  # dearest first
            ours = line.name.startswith("this design")
            last = sum(live <= line.reach for live in POINTS)
            axes.plot(POINTS[:last], line.dollars[:last], color=colour, linewidth=3 if ours else 1.8)
            axes.plot(POINTS[last - 1 :], line.dollars[last - 1 :], color=colour, linewidth=1.6, linestyle=":")
            if last < len(POINTS):
                axes.plot(POINTS[last - 1], line.dollars[last - 1], "o", color=colour)
            label_at = min(line.dollars[-1], label_at / LABEL_GAP)
            axes.annotate(
                f"{line.name.partition(':')[0]}: {money(line.dollars[-1])}",
                (POINTS[-1], line.dollars[-1]),
                xytext=(POINTS[-1] * 1.35, label_at),
                color=colour,
                weight="bold" if ours else "normal",
                verticalalignment="center",
                arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.8, "relpos": (0, 0.5)},
                annotation_clip=False,
            )
        axes.set(xscale="log", yscale="log")
        axes.set_xlabel("live sessions, a heartbeat a minute each")
        axes.set_ylabel("dollars a month")
        axes.set_title(
            "What finding and telling the due sessions costs. Dots: as far as it goes without a further stack or quota",
            loc="left",
            fontsize=10,
        )
        axes.set_xlim(POINTS[0], POINTS[-1])
        axes.xaxis.set_major_formatter(lambda live, _: number(live))
        axes.yaxis.set_major_formatter(lambda dollars, _: money(dollars))
        axes.minorticks_off()
        axes.grid(visible=True, color="#e4e4e4", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        svg = path.suffix == ".svg"
        figure.savefig(path, metadata={"Date": None, "Description": digest()} if svg else None)
        plt.close(figure)
