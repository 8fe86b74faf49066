"""`make bench`: every comparison in one run on one machine; prints ratios, writes docs/benchmarks.md and its plots.

It writes the summary in the README as well.

`make bench ARGS="cold warm"` measures and prints those alone, and leaves the page as it is.
"""

import argparse
import platform
import shutil
import subprocess
import sys
import traceback
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from os import cpu_count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from tests.benchmarks import cold, elizaos, local_stack, scale, sweep, warm
from tests.benchmarks.report import headline, in_short, markdown, plot, printed, with_summary
from tests.benchmarks.trees import PYTHON, ROOT, lay_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.benchmarks.section import Section

NEEDED: Final = {
    "valgrind": "counts instructions (Debian and Ubuntu: apt-get install valgrind)",
    "node": "runs the ElizaOS server (version 20 or later)",
    "npm": "fetches the ElizaOS server",
}
COMPARISONS: Final = ("cold", "warm", "elizaos", "sweep", "scale", "local_stack")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("only", nargs="*", metavar="comparison", help=f"of {', '.join(COMPARISONS)}")
    wanted = tuple(parser.parse_args().only) or COMPARISONS
    unknown = [name for name in wanted if name not in COMPARISONS]
    if unknown:
        parser.error(f"no such comparison: {', '.join(unknown)}; there are {', '.join(COMPARISONS)}")
    missing = [f"{program} {purpose}" for program, purpose in NEEDED.items() if shutil.which(program) is None]
    if missing:
        sys.stderr.write("".join(f"make bench: {each}, and is not on PATH\n" for each in missing))
        return 1
    with TemporaryDirectory() as scratch:
        trees = lay_out(Path(scratch))
        comparisons: dict[str, Callable[[], Section]] = {
            "cold": partial(cold.run, trees),
            "warm": partial(warm.run, trees),
            "elizaos": partial(elizaos.run, trees),
            "sweep": sweep.run,
            "scale": scale.run,
            "local_stack": local_stack.run,
        }
        sections, failed = [], []
        for name in wanted:
            sys.stdout.write(f"measuring: {name}\n")
            sys.stdout.flush()
            try:
                sections.append(comparisons[name]())
            except Exception:  # noqa: BLE001 - what the others measured is not lost for it
                failed.append(name)
                traceback.print_exc()
            else:
                sys.stdout.write(printed(sections[-1]))
    if wanted == COMPARISONS:
        for section in sections:
            for chart in section.charts:
                plot(chart, ROOT / "docs" / "images" / chart.file)
        (ROOT / "docs" / "benchmarks.md").write_text(markdown(sections, failed, facts()), encoding="utf-8")
        readme = ROOT / "README.md"
        short = in_short(headline(sections))
        readme.write_text(with_summary(readme.read_text(encoding="utf-8"), short), encoding="utf-8")
    return bool(failed) or not all(ratio.holds for section in sections for ratio in section.ratios)


def facts() -> dict[str, str]:
    """What the figures depend on: when, on what, with which versions."""

    def said(*command: str | Path) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    packages = ("boto3", "aws-lambda-powertools", "pydantic")
    return {
        "Date": datetime.now(UTC).date().isoformat(),
        "Machine": f"{cpu_count()} cores, {platform.machine()}, {platform.system()}",
        "Python": said(PYTHON, "-c", "import platform; print(platform.python_version())"),
        "Packages": ", ".join(f"{name} {version(name)}" for name in packages),
        "Node": said("node", "--version").removeprefix("v"),
        "valgrind": said("valgrind", "--version").removeprefix("valgrind-"),
    }


if __name__ == "__main__":
    sys.exit(main())
