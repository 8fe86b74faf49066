"""The documentation speaks of what there is: alarms, widgets, parameters, settings, targets, files."""

import importlib.util
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from tests.template_reader import FUNCTIONS, Deployment, expanded, template
from tools.cost import page

ROOT: Final = Path(__file__).resolve().parents[2]
OPERATIONS: Final = ROOT / "docs" / "operations.md"
PAGES: Final = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")})
BY_NAME = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)

NOT_OURS: Final = frozenset(
    {
        "AGENT_NOT_FOUND",  # a code that is reserved
        "ROLLBACK_COMPLETE",  # CloudFormation's state of a stack
        "DisableExecuteApiEndpoint",  # properties of AWS's resources that somebody may add
        "RedrivePolicy",
        "BatchGetItem",  # AWS's calls
        "GetItem",
        "PublishBatch",
        "PutItem",
        "Query",
        "ReportBatchItemFailures",
        "TransactWriteItems",
        "UpdateItem",
    }
)
"""Names in the documentation that need not occur in the code."""


@cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def all_code() -> str:
    """Everything that is not documentation, and what it is called."""
    folders = ("layers", "functions", "local", "tests", "docs", "events", "examples", "requirements", ".github", ".ci")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    files += [path for path in ROOT.iterdir() if path.is_file()]
    texts = [
        text_of(path)
        for path in files
        if path.suffix in {".py", ".yaml", ".yml", ".toml", ".json", ".txt", ".in", ".example", ".html", ""}
        and path != Path(__file__)
        and "__pycache__" not in path.parts
    ]
    return "\n".join(texts)


def prose(path: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^( *)```.*?^\1```", "", text_of(path), flags=re.DOTALL | re.MULTILINE)


def code_blocks(path: Path) -> str:
    return "\n".join(re.findall(r"^ *```[a-z]*\n(.*?)^ *```", text_of(path), flags=re.DOTALL | re.MULTILINE))


def spans(path: Path) -> Iterator[str]:
    """What stands between backticks."""
    return iter(re.findall(r"`([^`\n]+)`", prose(path)))


def sections(path: Path, level: str = "###") -> dict[str, str]:
    """The text below each heading of a level, up to the next heading of it or of one above."""
    parts = re.split(rf"^(#{{1,{len(level)}}}) (.+)$", text_of(path), flags=re.MULTILINE)[1:]
    return {title: body for marks, title, body in zip(*[iter(parts)] * 3, strict=True) if marks == level}


# --- the runbook ------------------------------------------------------------------------------------------------------


@cache
def alarms() -> dict[str, Any]:
    return Deployment().of_type("AWS::CloudWatch::Alarm")


def test_every_alarm_has_a_section_and_every_such_section_an_alarm() -> None:
    assert {title for title in sections(OPERATIONS) if title.endswith("Alarm")} == alarms().keys()


@pytest.mark.parametrize("name", alarms())
def test_the_section_of_an_alarm_begins_with_its_rule_and_says_more(name: str) -> None:
    body = sections(OPERATIONS)[name].strip()
    rule = f"*{alarms()[name]['AlarmDescription']}*"
    assert body.startswith(rule)
    assert len(body) > len(rule) + 150


def test_every_widget_of_the_dashboard_is_explained() -> None:
    (dashboard,) = Deployment().of_type("AWS::CloudWatch::Dashboard").values()
    titles = [widget["properties"]["title"] for widget in json.loads(dashboard["DashboardBody"])["widgets"]]
    assert re.findall(r"^\| \*(.+?)\* \|", sections(OPERATIONS, "##")["Reading the dashboard"], re.MULTILINE) == titles


def test_every_parameter_of_the_template_is_mentioned() -> None:
    mentioned = {word for span in spans(OPERATIONS) for word in re.findall(r"\w+", span)}
    assert template()["Parameters"].keys() - mentioned == set()


def test_commands_ask_for_outputs_and_resources_that_there_are() -> None:
    commands = code_blocks(OPERATIONS) + "".join(f"\n{span}" for span in spans(OPERATIONS))
    assert set(re.findall(r"\$\(of (\w+)\)", commands)) <= expanded()["Outputs"].keys()
    assert set(re.findall(r"\$\(part (\w+)\)", commands)) <= expanded()["Resources"].keys()


# --- the tables of tools/cost -----------------------------------------------------------------------------------------


def test_the_tables_of_scaling_and_cost_are_those_of_now() -> None:
    assert text_of(OPERATIONS) == page.with_block(text_of(OPERATIONS)), "run `make cost`"


def test_the_plot_is_that_of_now() -> None:
    assert text_of(page.PLOT) == page.svg(), "run `make cost`"


# --- sam local --------------------------------------------------------------------------------------------------------


def test_the_env_file_of_sam_local_names_whatever_the_template_takes_from_a_resource_or_a_condition() -> None:
    """The SAM CLI puts logical ids for the first, and nothing for the second."""
    told: dict[str, dict[str, str]] = json.loads(text_of(ROOT / "local" / "env.json"))
    resources = expanded()["Resources"]
    for function in FUNCTIONS:
        variables = resources[function]["Properties"]["Environment"]["Variables"]
        open_ones = {
            name
            for name, value in variables.items()
            if isinstance(value, dict) and (value.get("Ref") in {*resources, "AWS::NoValue"} or "Fn::If" in value)
        }
        assert open_ones - {"EVENT_SOURCE"} == {*told["Parameters"], *told[function]}


# --- every page -------------------------------------------------------------------------------------------------------


@BY_NAME
def test_a_make_target_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    named = {match for span in spans(path) for match in re.findall(r"^make ([a-z][a-z0-9-]*)", span)}
    named |= set(re.findall(r"^\s*(?:\$ )?make ([a-z][a-z0-9-]*)", code_blocks(path), re.MULTILINE))
    assert named <= targets


@BY_NAME
def test_a_file_exists(path: Path) -> None:
    files = r"[\w.\-/]+\.(?:py|md|yaml|toml|json|lock|in|txt|example|yml)"
    named = {span for span in spans(path) if re.fullmatch(files, span)}
    named |= {
        span for span in spans(path) if re.fullmatch(r"(?:docs|local|tests|events|functions|layers)/[\w\-/]*", span)
    }
    named |= set(re.findall(rf"(?<![\w./:])(?:docs|local|tests|events)/{files}", code_blocks(path)))
    for name in named:
        here = (ROOT / name, path.parent / name, ROOT / "layers" / "domain" / "agent_sessions" / name)
        assert any(place.exists() for place in here), name


@BY_NAME
def test_a_module_that_is_run_exists(path: Path) -> None:
    for module in re.findall(r"python[0-9.]* -m ([\w.]+)", text_of(path)):
        assert importlib.util.find_spec(module), module


@BY_NAME
def test_a_name_in_capitals_is_one_that_the_code_knows(path: Path) -> None:
    for span in spans(path):
        for name in re.findall(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b", span):
            assert name in NOT_OURS or name in all_code(), name


def test_the_settings_on_the_page_are_the_codes_with_their_defaults() -> None:
    environment = Deployment().environment("SessionApiFunction") | Deployment().environment("ExpirySweeperFunction")
    rows = re.findall(r"^\| (`[A-Z_`, ]+`) \| (\d+) \|", sections(OPERATIONS, "##")["Settings"], re.MULTILINE)
    assert rows
    for names_cell, default in rows:
        for name in re.findall(r"[A-Z_]+", names_cell):
            assert environment[name] == default, name


@BY_NAME
def test_a_test_that_is_named_exists(path: Path) -> None:
    for name in re.findall(r"`(test_\w+)`", text_of(path)):
        assert f"def {name}(" in all_code(), name
