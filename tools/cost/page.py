"""The tables as Markdown, and their place in docs/operations.md."""

import math
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from tools.cost.bill import DESIGNS, components, moved_index, this_design, total
from tools.cost.prices import INFINITY, MILLION, PRICED_ON, PRICES, REGION, RESTORE, SNAPSHOT, WARM, Price
from tools.cost.workload import (
    CALL_SECONDS,
    DUE_SHARDS,
    HOUR,
    KIB,
    LOG_BYTES,
    MEMORY_GB,
    MINUTE,
    MONTH,
    PEAK,
    PROCESSOR_RATE,
    RESPONSE_BYTES,
    SWEEP_INTERVAL,
    SWEEP_RATE,
    TENANT_SHARDS,
    USUAL,
    load,
    meetings,
    plan,
)

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
BEGIN: Final = "<!-- written by tools/cost: begin -->"
END: Final = "<!-- written by tools/cost: end -->"
LINE: Final = 116
SIZES: Final = (10_000, 1_000_000, 100_000_000)
"""Live sessions: the columns of the tables."""

THOUSAND: Final = 1_000

# What is enough until it is raised: our settings, and AWS's quotas of an account and region.
STAGE_RATE: Final = 500
GATEWAY_QUOTA: Final = 10_000
CONCURRENCY_QUOTA: Final = 1_000
TABLE_QUOTA: Final = 40_000
TOPIC_QUOTA: Final = 30_000
LONGEST_GAUGE_SECONDS: Final = 60
"""Half of the sweeper's timeout."""


def with_block(page: str) -> str:
    """Return the page with the tables of now between its markers.

    Raises:
        ValueError: the page lacks a marker.

    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE.name} lacks the line {END if begin else BEGIN}")
    return f"{before}{begin}\n\n{block()}\n\n{end}{after}"


def block() -> str:
    """Return what stands between the markers."""
    parts: tuple[Iterable[str], ...] = (
        _assumptions(),
        ["### Load and settings"],
        _loads(),
        ["What to raise, settings and quotas, for a peak of twice that:"],
        _to_raise(),
        ["### Monthly cost"],
        _costs(),
        _other_rhythm(),
        ["### Against the alternatives"],
        _designs(),
        _comparison(),
        ["### Prices"],
        _prices(),
        _starts(),
    )
    return "\n\n".join("\n".join(part) for part in parts)


def number(value: float) -> str:
    """Write a number with the three digits that count, a small whole one with all."""
    if isinstance(value, int) and value < 10 * THOUSAND:
        return f"{value:,}"
    if value >= MILLION:
        return f"{value / MILLION:,.3g} M" if value < THOUSAND * MILLION else f"{value / MILLION:,.0f} M"
    if value < THOUSAND - 0.5:
        return f"{value:.3g}"
    return f"{round(value, 2 - math.floor(math.log10(value))):,.0f}"


def money(value: float) -> str:
    """Write an amount of dollars."""
    return f"${value:.2f}" if value < 1 else f"${number(value)}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int) -> Iterator[str]:
    """Yield a table; after its first column come so many of numbers, then words."""
    yield f"| {' | '.join(head)} |"
    yield "|---|" + "---:|" * numbers + "---|" * (len(head) - 1 - numbers)
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _by_size(rows: Iterable[tuple[str, Iterable[str]]]) -> Iterator[str]:
    head = ["live sessions", *(number(live) for live in SIZES)]
    return _table(head, ([name, *cells] for name, cells in rows), numbers=len(SIZES))


def _prose(*sentences: str) -> list[str]:
    return textwrap.wrap(" ".join(sentences), LINE, break_on_hyphens=False)


def _assumptions() -> Iterable[str]:
    return _prose(
        f"Assumed of a session: {USUAL.active / MINUTE:g} minutes of activity with a heartbeat every",
        f"{USUAL.heartbeat:g} seconds, then it idles out after {USUAL.timeout / MINUTE:g} minutes, with one warning",
        f"and one expiry; {USUAL.reads:g} GETs; an item of {USUAL.item_bytes} bytes, kept for",
        f"{USUAL.stored / HOUR:g} hours: the longest duration that a patch may give, the retention, a day,",
        "and a day until the TTL gets to it.",
        f"Assumed of the functions: {MEMORY_GB * KIB:g} MB on arm64, {CALL_SECONDS * 1_000:g} ms billed a call; a run",
        f"of the sweep handles {PROCESSOR_RATE:,} sessions a second on a whole processor, {SWEEP_RATE:.0f} with",
        f"{MEMORY_GB * KIB:g} MB. A call leaves {LOG_BYTES:,} bytes of logs and",
        f"{RESPONSE_BYTES} of response. The load is steady and rates are averages. Subscribers are SQS queues, to",
        "which SNS delivers free of charge. Left out: free tiers, discounts, cold starts, the authorizer (one call for",
        "each key and four minutes), lists, what subscribers cost, the storage of logs.",
    )


def _loads() -> Iterator[str]:
    loads = [load(live) for live in SIZES]
    plans = [plan(live) for live in SIZES]
    rows = (
        ("requests a second", [of.requests for of in loads]),
        ("of which heartbeats", [of.heartbeats for of in loads]),
        ("sessions created a second, and as many expired", [of.created for of in loads]),
        ("write units a second: items", [of.item_writes for of in loads]),
        ("write units a second: index `due`", [of.due_writes for of in loads]),
        ("write units a second: each index of lists", [2 * of.created for of in loads]),
        ("read units a second", [of.reads for of in loads]),
        ("sessions that a minute's sweep meets", [of.met * SWEEP_INTERVAL for of in loads]),
        ("SNS messages a second", [of.events for of in loads]),
        ("stored, GB", [of.stored_gb for of in loads]),
        ("stacks", [sized.stacks for sized in plans]),
        ("`DueShards`, each stack", [sized.due_shards for sized in plans]),
        ("`SweeperMemoryMegabytes`", [sized.sweeper_megabytes for sized in plans]),
        ("`SweepFanOut`, each stack", [sized.fan_out for sized in plans]),
        ("API function's concurrency at the peak, each stack", [math.ceil(sized.concurrency) for sized in plans]),
    )
    return _by_size((name, map(number, values)) for name, values in rows)


def _to_raise() -> Iterator[str]:
    for live in SIZES:
        raised = to_raise(live)
        yield f"- {number(live)}: {', '.join(raised) if raised else 'nothing, the defaults will do'}."


def to_raise(live: int) -> list[str]:
    """Name each setting and quota that is too small by default, with the value that bears the peak."""
    of, sized = load(live), plan(live)
    asked = (
        ("`ThrottlingRateLimit`", PEAK * of.requests / sized.stacks, STAGE_RATE),
        ("API Gateway's quota of requests a second", PEAK * of.requests, GATEWAY_QUOTA),
        ("Lambda's quota of concurrency", sized.concurrency * sized.stacks, CONCURRENCY_QUOTA),
        ("DynamoDB's quota of write units a table", PEAK * of.item_writes / sized.stacks, TABLE_QUOTA),
        ("`DueShards`", sized.due_shards, DUE_SHARDS),
        ("`SweeperMemoryMegabytes`", sized.sweeper_megabytes, MEMORY_GB * KIB),
        ("`SweepFanOut`", sized.fan_out, 1),
        ("`TenantShards` (if one tenant has them all)", sized.tenant_shards, TENANT_SHARDS),
        ("SNS's quota of messages a second", PEAK * of.events, TOPIC_QUOTA),
    )
    raised = [f"{what} to {number(_rounded_up(value))}" for what, value, enough in asked if value > enough]
    if sized.gauge_seconds > LONGEST_GAUGE_SECONDS:
        raised.append(f"`Gauge` off, which would take {sized.gauge_seconds:.0f} s")
    return [*raised, f"{sized.stacks} stacks, tenants spread over them"] if sized.stacks > 1 else raised


def _rounded_up(value: float) -> int:
    """Round up to three digits, from 10,000 on: what is raised must be enough."""
    step = 10 ** max(0, math.floor(math.log10(value)) - 2) if value >= 10 * THOUSAND else 1
    return math.ceil(value / step) * step


def _costs() -> Iterator[str]:
    bills = [components(live) for live in SIZES]
    sums = [sum(bill.values()) for bill in bills]
    each = [cost / live * THOUSAND for cost, live in zip(sums, SIZES, strict=True)]
    return _by_size(
        [
            *((name, [money(bill[name]) for bill in bills]) for name in bills[0]),
            ("**all of it**", [f"**{money(cost)}**" for cost in sums]),
            ("a thousand live sessions", map(money, each)),
        ]
    )


def _other_rhythm() -> Iterable[str]:
    rarer = replace(USUAL, heartbeat=5 * MINUTE)
    costs = ", ".join(f"{money(total(live, rarer))} for {number(live)}" for live in SIZES)
    return _prose(f"With a heartbeat every five minutes instead, all of it is {costs}.")


def _designs() -> Iterator[str]:
    return _table(
        ["finding and telling what is due, a month", *map(number, SIZES), "as it is, goes up to"],
        (
            [
                design.name,
                *(money(design.cost(live)) for live in SIZES),
                f"{number(design.reach)}: {design.end}",
            ]
            for design in DESIGNS
        ),
        numbers=len(SIZES),
    )


def even_from() -> float:
    """Return the interval of heartbeats, in minutes, from which moving the index at each is no dearer."""
    live = SIZES[1]
    rhythms = [replace(USUAL, heartbeat=minutes * MINUTE) for minutes in range(1, int(USUAL.timeout / MINUTE) - 5)]
    even = [each.heartbeat / MINUTE for each in rhythms if moved_index(live, each) <= this_design(live, each)]
    return min(even, default=INFINITY)


def _comparison() -> Iterable[str]:
    met = meetings(USUAL)
    return _prose(
        f"Sweeps meet such a session {met.all:.3g} times: to re-arm it {met.rearms:.3g} times, to warn, to leave it",
        f"alone {met.waits:.3g} times until its end, to expire it. Moving the index at each heartbeat costs no more",
        f"than that where heartbeats are {even_from():g} minutes apart or more.",
    )


def _prices() -> Iterator[str]:
    return _table(
        [f"{REGION}, {PRICED_ON}", "for", "dollars"],
        ([price.what, _unit(price), _tiers(price)] for price in PRICES),
        numbers=0,
    )


def _unit(price: Price) -> str:
    return f"a million {price.unit}" if price.per == MILLION else f"a {price.unit}"


def _tiers(price: Price) -> str:
    return ", then ".join(
        f"{dollars:g}" + (f" up to {number(up_to)}" if up_to < INFINITY else "") for up_to, dollars in price.tiers
    )


def _starts() -> Iterable[str]:
    size = MEMORY_GB * MONTH
    return _prose(
        f"For an API function of {MEMORY_GB * KIB:g} MB: SnapStart is {money(SNAPSHOT.of(size))} a month for each",
        f"published version and {money(RESTORE.of(MEMORY_GB * THOUSAND))} for a thousand cold starts; provisioned",
        f"concurrency is {money(WARM.of(size))} a month for each instance kept warm.",
    )
