"""Cold start: import, clients and the first create, of built artifacts, under Lambda's emulator and runtime client."""

import re
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from tests.benchmarks import certificates
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
    USUAL_SDK,
    Tree,
)
from tests.unit.world import sample

STACKS: Final = (USUAL, USUAL_SDK, USUAL_COMPILED, FASTAPI, OURS, FLOOR)
STARTS: Final = 3


def run(trees: Mapping[str, Tree]) -> Section:
    with TemporaryDirectory() as scratch:
        root, certificate = certificates.make(Path(scratch))
        base = instructions(trees[EMPTY])
        plain = {name: instructions(trees[name]) - base for name in STACKS}
        counts = {name: instructions(trees[name], tls=(root, certificate)) - base for name in STACKS}
        key = sample("authorizer-key")
        authorizer_plain = instructions(trees[AUTHORIZER], key) - base
        authorizer = instructions(trees[AUTHORIZER], key, tls=(root, certificate)) - base
        times = {name: milliseconds(trees[name], (root, certificate)) for name in STACKS}
    packages = instructions(trees[PACKAGES]) - base
    ours = counts[OURS]
    waiting = (
        "A caller whose key the gateway does not remember waits for the authorizer as well: "
        f"{authorizer / 1e6:,.0f} Mi from its cold start to its answer, {authorizer_plain / 1e6:,.0f} without TLS."
    )
    imports = (
        f"The imports of botocore, pydantic and Powertools alone, from the same layer, are {packages / 1e6:,.0f} Mi."
    )
    return Section(
        title="Cold start of a create",
        intro="Import, clients and the first create, in millions of processor instructions (Mi) above an empty "
        "handler, counted by valgrind under Lambda's runtime interface emulator and runtime client, from a tree whose "
        "files are dated 1980 as Lambda's are, so that ordinary bytecode counts as outdated. DynamoDB is a stub over "
        "TLS, with the roots that each stack trusts when it is deployed, and once more without TLS. The usual style "
        "is shown as it is found (no bytecode that counts), as it is where the SDK comes from Lambda's runtime, and "
        f"precompiled. The time is the median of {STARTS} starts, the runtime's own included, and depends on "
        "the machine and on what else it does; the instructions repeat. Less is better.",
        columns=("stack", "Mi", "agent-sessions / this", "Mi without TLS", "ms"),
        rows=[
            (
                name,
                f"{counts[name] / 1e6:,.0f}",
                f"{ours / counts[name]:.3f}",
                f"{plain[name] / 1e6:,.0f}",
                f"{times[name]:,.0f}",
            )
            for name in STACKS
        ],
        ratios=(
            Ratio("cold create / usual style, precompiled", ours / counts[USUAL_COMPILED], at_most=0.43, aim="0.40"),
            Ratio("cold create / FastAPI + Mangum, precompiled", ours / counts[FASTAPI], at_most=0.33, aim="0.31"),
            Ratio(
                "cold create / usual style with the runtime's SDK", ours / counts[USUAL_SDK], at_most=0.175, aim="0.16"
            ),
            Ratio("cold create / usual style as found", ours / counts[USUAL], at_most=0.11, aim="0.10"),
            Ratio("cold start of the authorizer, Mi", authorizer / 1e6, at_most=280, aim="250"),
        ),
        charts=(
            Bars(
                "bench-cold.svg",
                "Cold start of a create (less is better)",
                "millions of instructions",
                {name: counts[name] / 1e6 for name in STACKS},
                "Bars: instructions of a cold start by stack",
                OURS,
            ),
        ),
        notes=(waiting, imports),
        headline={
            name: {"cold start with a create": ours / counts[name]} for name in STACKS if name not in {OURS, FLOOR}
        },
    )


def instructions(tree: Tree, event: object = None, *, tls: tuple[Path, Path] | None = None) -> int:
    """Instructions from the start of the process to the answer, to a create or to another event."""
    with stubbed_dynamodb(tls[1] if tls else None) as stub:
        environment = {**stub, **_trust(tree, tls)}
        with emulated(tree, under=COUNTED, **environment) as running:
            running.invoke(event or events()["create"])
            running.end_runtime()
            (found,) = re.findall(r"I\s+refs:\s+([0-9,]+)", running.log)
    return int(found.replace(",", ""))


def milliseconds(tree: Tree, tls: tuple[Path, Path]) -> float:
    """The time from the invocation that starts the process to its answer."""
    times = []
    for _ in range(STARTS):
        with stubbed_dynamodb(tls[1]) as stub, emulated(tree, **stub, **_trust(tree, tls)) as running:
            _, seconds = running.invoke(events()["create"])
            times.append(seconds * 1000)
    return median(times)


def _trust(tree: Tree, tls: tuple[Path, Path] | None) -> dict[str, str]:
    """Name the roots to the SDK, and to Python itself for the stack that has no SDK."""
    if tls is None:
        return {}
    bundle = str(certificates.trusted(tree.opt, tls[0]))
    return {"AWS_CA_BUNDLE": bundle, "SSL_CERT_FILE": bundle}
