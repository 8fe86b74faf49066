"""Turns sections into what is printed, into Markdown, and into pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.benchmarks.section import Bars, Lines, Ratio, Section

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OURS: Final = "#0f766e"
OTHERS: Final = "#94a3b8"
INTRO: Final = """# Benchmarks

Written by `make bench`: every comparison comes from one run on one machine. The peers are in `tests/benchmarks/peers`:
they do the same requests with the same checks, the same table item and the same conditions, and nothing else of what
the service does. Ratios carry over to other machines, times do not.
"""

SHORT: Final = (
    "Ours divided by theirs, so less is better: the processor's instructions, with TLS in the cold start and with "
    "sockets in warm requests; beside the ElizaOS server the processor's time."
)
BEGIN: Final = "<!-- written by make bench: begin -->"
END: Final = "<!-- written by make bench: end -->"
COLD: Final = "cold start with a create"
WARM: Final = ("create", "get", "heartbeat", "append")
REQUESTS: Final = (COLD, *WARM)


Headline = Mapping[str, Mapping[str, float]]
"""Ours divided by theirs, by peer and request."""


def headline(sections: Sequence[Section]) -> Headline:
    """Return what the sections put first, the strongest peer first."""
    found: dict[str, dict[str, float]] = {}
    for section in sections:
        for peer, ratios in section.headline.items():
            found.setdefault(peer, {}).update(ratios)
    return {peer: found[peer] for peer in sorted(found, key=lambda peer: found[peer].get(COLD, 0.0), reverse=True)}


def summary(found: Headline) -> str:
    """Return a table: a row for each peer."""
    rows = [
        (peer, *(f"{ratios[name]:.2f}" if name in ratios else "" for name in REQUESTS))
        for peer, ratios in found.items()
    ]
    return _table(("agent-sessions divided by", *REQUESTS), rows)


def in_short(found: Headline) -> str:
    """Return the same as a list: cold, warm, beside each server, and whatever is slower here than there."""

    def of(peer: str) -> str:
        return ", ".join(f"{name} {found[peer][name]:.2f}" for name in WARM if name in found[peer])

    lean = {peer: ratios for peer, ratios in found.items() if COLD in ratios}
    cold = [f"{ratios[COLD]:.2f} ({peer})" for peer, ratios in lean.items()]
    warm = {peer: [ratios[name] for name in WARM if name in ratios] for peer, ratios in lean.items()}
    spans = [f"{min(ratios):.2f} to {max(ratios):.2f} ({peer})" for peer, ratios in warm.items() if ratios]
    slower = {
        peer: [name for name in REQUESTS if ratios.get(name, 0) > 1]
        for peer, ratios in found.items()
        if max(ratios.values()) > 1
    }
    lines = [
        f"A {COLD}: {', '.join(cold)}.",
        f"Warm requests: {', '.join(spans)}.",
        *(f"Beside {peer}: {of(peer)}." for peer in found if peer not in lean),
        *(f"**Slower here** than {peer}: {' and '.join(names)}." for peer, names in slower.items()),
    ]
    return "".join(f"- {line}\n" for line in lines)


def with_summary(page: str, text: str) -> str:
    """Return a page with this text between its markers."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{text}\n{END}{rest.partition(END)[2]}"


def printed(section: Section) -> str:
    lines = [f"\n{section.title}", *(" | ".join(row) for row in (section.columns, *section.rows))]
    lines += [f"  {_ratio(ratio)}" for ratio in section.ratios]
    return "\n".join([*lines, *section.notes, ""]) + "\n"


def markdown(sections: Sequence[Section], failed: Sequence[str], facts: Mapping[str, str]) -> str:
    ratios = [
        (ratio.name, ratio.better, f"{ratio.value:.3g}", ratio.bound, ratio.aim, "yes" if ratio.holds else "**no**")
        for section in sections
        for ratio in section.ratios
    ]
    parts = [INTRO, _table(("run", ""), list(facts.items()))]
    parts.append(f"## In short\n\n{SHORT}\n\n{with_summary(f'{BEGIN}{END}', summary(headline(sections)))}\n")
    parts.append("## What must hold\n\n" + _table(("ratio", "better", "measured", "bound", "aim", "holds"), ratios))
    if failed:
        parts.append(f"Not measured in this run, because the measurement failed: {', '.join(failed)}.\n")
    for section in sections:
        parts.append(f"## {section.title}\n\n{section.intro}\n")
        if section.rows:
            parts.append(_table(section.columns, section.rows))
        parts += [f"![{chart.alt}](images/{chart.file})\n" for chart in section.charts]
        parts += [f"{note}\n" for note in section.notes]
    return "\n".join(parts)


def plot(chart: Bars | Lines, file: Path) -> None:
    """Draw a chart as SVG; the same values give the same file."""
    import matplotlib as mpl  # noqa: PLC0415 - only who plots pays for it

    mpl.use("svg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - slow to import

    with mpl.rc_context({"svg.hashsalt": chart.file, "font.family": "sans-serif", "svg.fonttype": "none"}):
        figure, axes = plt.subplots(layout="constrained")
        if isinstance(chart, Bars):
            figure.set_size_inches(8, 0.8 + 0.5 * len(chart.values))
            _draw_bars(axes, chart)
        else:
            figure.set_size_inches(8, 4)
            _draw_lines(axes, chart)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(chart.title, loc="left")
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, metadata={"Date": None, "Creator": None})
        plt.close(figure)


def _draw_bars(axes: "Axes", bars: Bars) -> None:
    """Horizontal bars, the first on top."""
    names = list(bars.values)
    colours = [OURS if name == bars.ours else OTHERS for name in names]
    drawn = axes.barh(names, list(bars.values.values()), color=colours)
    axes.bar_label(drawn, fmt="{:,.3g}" if max(bars.values.values()) < 100 else "{:,.0f}", padding=4)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel(bars.axis)


def _draw_lines(axes: "Axes", lines: Lines) -> None:
    for name, points in lines.values.items():
        colour = OURS if name.startswith(lines.ours) else OTHERS
        across, up = zip(*points, strict=True)
        axes.plot(across, up, marker="o", color=colour)
        axes.annotate(
            f"{name}: {up[-1]:,.0f}",
            points[-1],
            xytext=(0, 8),
            textcoords="offset points",
            ha="right",
            va="bottom",
            color=colour,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.margins(y=0.15)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel(lines.across)
    axes.set_ylabel(lines.axis)


def _ratio(ratio: Ratio) -> str:
    aim = f", aim {ratio.aim}" if ratio.aim else ""
    verdict = "holds" if ratio.holds else "MISSED"
    return f"{verdict}: {ratio.name} = {ratio.value:.3f}, {ratio.better} is better ({ratio.bound}{aim})"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
