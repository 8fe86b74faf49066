"""The tables as Markdown between the markers of docs/operations.md, and the plot beside it as SVG."""

import math
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tools.cost import model
from tools.cost.prices import MILLION, PRICED_ON, PRICES, REGION, RESTORE, SNAPSHOT, WARM

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
PLOT: Final = PAGE.parent / "images" / "cost-by-live-sessions.svg"
BEGIN: Final = "<!-- written by tools/cost: begin -->"
END: Final = "<!-- written by tools/cost: end -->"
SIZES: Final = (10_000, 1_000_000, 100_000_000)


def with_block(page: str) -> str:
    """Return the page with the present tables between its markers."""
    return f"{page.split(BEGIN, maxsplit=1)[0]}{BEGIN}\n\n{block()}\n\n{END}{page.split(END)[1]}"


def number(value: float) -> str:
    """Write a number with three significant digits; a small whole one in full."""
    if value >= MILLION:
        return f"{value / MILLION:,.0f} M" if value >= 1000 * MILLION else f"{number(value / MILLION)} M"
    if isinstance(value, int) and value < 10_000:  # noqa: PLR2004
        return f"{value:,}"
    return f"{value:.3g}" if value < 999.5 else f"{round(value, 2 - math.floor(math.log10(value))):,.0f}"  # noqa: PLR2004


def money(value: float) -> str:
    """Write an amount of dollars."""
    return f"${value:.2f}" if value < 1 else f"${number(float(value))}"


def _table(columns: str, *rows: Iterable[str]) -> str:
    return "\n".join([columns, *(f"| {' | '.join(row)} |" for row in rows)])


def block() -> str:
    """Return what stands between the markers."""
    loads, bills = [model.load(live) for live in SIZES], [model.components(live) for live in SIZES]
    rarer = [sum(model.components(live, model.HINTED).values()) for live in SIZES]
    megabytes, size = f"{model.MEMORY_GB * 1024:g} MB", model.MEMORY_GB * model.MONTH
    sizes, dashes = " | ".join(map(number, SIZES)), "|---|---:|---:|---:|"
    beats = model.heartbeats(MILLION)
    fewer = MILLION * (model.ACTIVE // model.HINTED) / (model.ACTIVE // model.MINUTE)
    parts = (
        _prose(
            f"Assumed: {model.ACTIVE / model.MINUTE:g} minutes of activity with a heartbeat a minute, then a session",
            f"ends by itself; {model.READS} GETs, {model.TALK} messages; items of {model.ITEM_BYTES} bytes for",
            f"{model.STORED / model.HOUR:g} hours. Functions of {megabytes} on arm64; a call is billed",
            f"{model.CALL_SECONDS * 1000:g} ms, logs {model.LOG_BYTES:,} bytes. So is the run that publishes the",
            f"event of a message, {model.PUBLISHER_LOG_BYTES} bytes; several at once share one. A sweep handles",
            f"{model.SWEEP_RATE:.0f} sessions a second, {model.PROCESSOR_RATE:,} with a whole processor.",
        ),
        "### Load and settings",
        _table(
            f"| live sessions | {sizes} |\n{dashes}",
            ("requests a second", *(number(of.requests) for of in loads)),
            ("sessions created a second, and as many expired", *(number(of.created) for of in loads)),
            ("write units a second: items", *(number(of.item_writes) for of in loads)),
            ("write units a second: index `due`", *(number(of.due_writes) for of in loads)),
            ("read units a second", *(number(of.reads) for of in loads)),
            ("stacks, for a peak of twice that", *(number(of.stacks) for of in loads)),
            ("`DueShards` of each stack", *(number(math.ceil(of.due_shards / of.stacks)) for of in loads)),
            ("`SweepFanOut` of each stack", *(number(math.ceil(of.sweeps / of.stacks)) for of in loads)),
        ),
        "### Monthly cost",
        _table(
            f"| live sessions | {sizes} |\n{dashes}",
            *((name, *(money(bill[name]) for bill in bills)) for name in bills[0]),
            ("**all of it**", *(f"**{money(sum(bill.values()))}**" for bill in bills)),
            ("with clients that follow `renewAfter`", *map(money, rarer)),
        ),
        _prose(
            f"A million heartbeats cost {money(sum(beats.values()))}:",
            f"{', '.join(f'{name} {money(cost)}' for name, cost in beats.items())}. Clients that wait for `renewAfter`",
            f"send {number(fewer)} in the same time, for {money(sum(model.heartbeats(fewer).values()))}.",
        ),
        "### Against the alternatives",
        _table(
            f"| finding and announcing what is due, a month | {sizes} | goes up to, with these full |\n{dashes}---|",
            *(
                (name, *(money(cost(live)) for live in SIZES), f"{number(reach)}: {end}")
                for name, cost, reach, end in model.DESIGNS
            ),
        ),
        "### Prices",
        _table(
            f"| {REGION}, {PRICED_ON} | for | dollars |\n|---|---|---|",
            *((each.what, f"a{' million' * (each.per > 1)} {each.unit}", _tiers(each.tiers)) for each in PRICES),
        ),
        _prose(
            f"For an API function of {megabytes}, SnapStart is {money(SNAPSHOT.of(size))} a month for each published"
            f" version and {money(RESTORE.of(model.MEMORY_GB * 1000))} for a thousand cold starts; provisioned",
            f"concurrency is {money(WARM.of(size))} a month for each instance kept warm.",
        ),
    )
    return "\n\n".join(parts)


def _prose(*sentences: str) -> str:
    return textwrap.fill(" ".join(sentences), 116, break_on_hyphens=False)


def _tiers(tiers: Iterable[tuple[float, float]]) -> str:
    return ", then ".join(f"{usd:g}" + (f" up to {number(to)}" if to < math.inf else "") for to, usd in tiers)


def svg() -> str:
    """Draw each design's cost by live sessions, both axes logarithmic, dashed beyond what it bears."""

    def at(live: float, dollars: float) -> str:
        return f"{100 * math.log10(live) - 230:.1f} {360 - 50 * math.log10(dollars):.1f}"

    grid, left = '<path stroke="#e4e4e4" d="M', '<text x="64" text-anchor="end"'
    drawn = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 420" font-family="sans-serif" font-size="12">',
        '<text x="70" y="402">live sessions, a heartbeat a minute each; +: where one stack ends</text>',
        *(f'{grid}{at(10**p, 1)}V10"/><text x="{100 * p - 240}" y="378">{number(10**p)}</text>' for p in range(3, 9)),
        *(f'{grid}{at(1e3, 10**p)}H570"/>{left} y="{364 - 50 * p}">{money(10**p)}</text>' for p in range(8)),
    ]
    below, points = 0.0, [10 ** (3 + quarters / 4) for quarters in range(21)]
    for (name, cost, reach, _), colour in zip(model.DESIGNS, ("#c1440e", "#8e6c00", "#0b5394"), strict=True):
        line = "L".join(at(live, cost(live)) for live in points)
        drawn.append(f'<path d="M{line}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        drawn.append(f'<path d="M{at(reach, cost(reach))}m-5 0h10m-5 -5v10" stroke="{colour}" stroke-width="2"/>')
        below = max(below + 16, float(at(1e8, cost(1e8)).split()[1]))
        drawn.append(f'<text x="578" y="{below}" fill="{colour}">{name.partition(":")[0]}: {money(cost(1e8))}</text>')
    return "\n".join([*drawn, "</svg>", ""])
