"""Cold start: import, clients and the first create, of built artifacts, under Lambda's emulator and runtime client."""

import re
from collections.abc import Mapping
from statistics import median
from typing import Final

from tests.benchmarks.emulator import emulated, stubbed_dynamodb
from tests.benchmarks.requests import events
from tests.benchmarks.section import Bars, Ratio, Section
from tests.benchmarks.trees import (
    AUTHORIZER,
    COUNTED,
    EMPTY,
    FASTAPI,
    FLOOR,
    OURS,
    PACKAGES,
    USUAL,
    USUAL_COMPILED,
    Tree,
)
from tests.unit.world import sample

STACKS: Final = (USUAL, USUAL_COMPILED, FASTAPI, OURS, FLOOR)
STARTS: Final = 3


def run(trees: Mapping[str, Tree]) -> Section:
    base = instructions(trees[EMPTY])
    counts = {name: instructions(trees[name]) - base for name in STACKS}
    packages = instructions(trees[PACKAGES]) - base
    authorizer = instructions(trees[AUTHORIZER], sample("authorizer-key")) - base
    times = {name: milliseconds(trees[name]) for name in STACKS}
    ours = counts[OURS]
    alone = (
        f"Of ours, {packages / 1e6:,.0f} Mi ({packages / ours:.0%}) are the imports of botocore, pydantic and "
        "Powertools, from the same layer, before anything is done with them."
    )
    before = (
        "A caller whose key the gateway does not remember waits for the authorizer as well: "
        f"{authorizer / 1e6:,.0f} Mi from its cold start to its answer."
    )
    return Section(
        title="Cold start of a create",
        intro="Import, clients and the first create, in millions of processor instructions (Mi) above an empty "
        "handler, counted by valgrind under Lambda's runtime interface emulator and runtime client, from a tree whose "
        "files are dated 1980 as Lambda's are. DynamoDB is a stub on plain HTTP, the same for all: TLS is left out. "
        f"The time is the median of {STARTS} starts, the runtime's own included, and depends on the machine and "
        "on what else it does; the instructions repeat.",
        columns=("stack", "Mi", "ratio", "ms"),
        rows=[
            (name, f"{counts[name] / 1e6:,.0f}", f"{counts[name] / counts[USUAL]:.3f}", f"{times[name]:,.0f}")
            for name in STACKS
        ],
        ratios=(
            Ratio("cold create / usual style", ours / counts[USUAL], at_most=0.18, aim="0.15"),
            Ratio("cold create / FastAPI + Mangum", ours / counts[FASTAPI], at_most=0.55),
        ),
        charts=(
            Bars(
                "bench-cold.svg",
                "Cold start of a create",
                "millions of instructions",
                {name: counts[name] / 1e6 for name in STACKS},
                "Bars: instructions of a cold start by stack",
                OURS,
            ),
        ),
        notes=(alone, before),
    )


def instructions(tree: Tree, event: object = None) -> int:
    """Instructions from the start of the process to the answer, to a create or to another event."""
    with stubbed_dynamodb() as stub, emulated(tree, under=COUNTED, **stub) as environment:
        environment.invoke(event or events()["create"])
        environment.end_runtime()
        (found,) = re.findall(r"I\s+refs:\s+([0-9,]+)", environment.log)
    return int(found.replace(",", ""))


def milliseconds(tree: Tree) -> float:
    """The time from the invocation that starts the process to its answer."""
    times = []
    for _ in range(STARTS):
        with stubbed_dynamodb() as stub, emulated(tree, **stub) as environment:
            _, seconds = environment.invoke(events()["create"])
            times.append(seconds * 1000)
    return median(times)
