"""The README says what is so: its figures are those that the last `make bench` measured, its links lead somewhere."""

import re
from typing import Final

from tests.unit.world import ROOT

README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
BENCHMARKS: Final = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")


def test_the_ratios_are_those_that_the_last_run_measured() -> None:
    section = README.partition("## How fast")[2].partition("\n## ")[0]
    told = re.findall(r"^\| .* \| ([\d.]+) \|$", section, re.MULTILINE)
    measured = re.findall(r"^\| [^|]+ \| ([\d.]+) \| at (?:most|least) ", BENCHMARKS, re.MULTILINE)
    assert told
    assert [figure for figure in told if figure not in measured] == []


def test_what_the_last_run_measured_holds() -> None:
    verdicts = re.findall(r"\| at (?:most|least) [\d.]+ \|[^|]*\| (.+) \|$", BENCHMARKS, re.MULTILINE)
    assert set(verdicts) == {"yes"}
    assert "Not measured" not in BENCHMARKS


def test_every_file_that_is_linked_or_shown_is_there() -> None:
    targets = [target for target in re.findall(r"\]\(([^)#]+)", README) if not target.startswith("http")]
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
