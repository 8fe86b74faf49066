"""The documentation speaks of what there is: alarms, widgets, parameters, settings, targets, files, sample events."""

import importlib.util
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from unittest import mock

import jmespath  # type: ignore[import-untyped] # it comes without types
import pytest

from local import sam_local
from tests.engines.fake_dynamo import FakeDynamo
from tests.template_reader import FUNCTIONS, Deployment, expanded, template
from tests.unit.test_session_events import Living
from tests.unit.world import EVENTS, World, sample
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


def test_what_a_production_stack_leaves_behind_is_on_the_page_and_its_commands_find_all_of_it() -> None:
    resources = Deployment(Stage="prod").resources
    # A function's versions go with the function.
    retained = [
        name
        for name, resource in resources.items()
        if resource.get("DeletionPolicy") == "Retain" and resource["Type"] != "AWS::Lambda::Version"
    ]
    section = sections(OPERATIONS, "##")["A first deployment that fails"]
    assert set(re.findall(r"`(\w+Table)`", section)) == set(retained)
    [query] = re.findall(r'--query "(StackResourceSummaries.+?)"', section)
    listed = [{"ResourceType": each["Type"], "PhysicalResourceId": name} for name, each in resources.items()]
    assert jmespath.search(query, {"StackResourceSummaries": listed}) == retained


def test_every_table_has_the_recovery_that_the_page_promises() -> None:
    for table in Deployment().of_type("AWS::DynamoDB::Table").values():
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_the_queries_of_the_commands_can_be_parsed() -> None:
    words = shlex.split(code_blocks(OPERATIONS).replace("\\\n", " "), comments=True)
    queries = [after for word, after in pairwise(words) if word == "--query"]
    assert queries
    for query in queries:
        jmespath.compile(query.replace("$1", "ApiUrl"))


def test_the_parameters_in_samconfigs_form_are_the_templates_with_values_that_it_takes() -> None:
    [block] = re.findall(r"^```toml\n(.*?)^```", text_of(OPERATIONS), re.DOTALL | re.MULTILINE)
    documented = tomllib.loads(block)["parameter_overrides"]
    stages = tomllib.loads(text_of(ROOT / "samconfig.toml"))
    ours = [
        override
        for stage in stages.values()
        if isinstance(stage, dict)
        for override in stage["deploy"]["parameters"].get("parameter_overrides", [])
    ]
    assert {override.partition("=")[0] for override in ours} == {"Stage", "LogLevel", "LogRetentionDays"}
    for override in [*documented, *ours]:
        [split] = shlex.split(override)
        name, _, value = split.partition("=")
        declared = template()["Parameters"][name]
        assert re.fullmatch(declared.get("AllowedPattern", ".*"), value), name
        assert value in map(str, declared.get("AllowedValues", [value])), name
    [command] = re.findall(
        r"sam deploy --config-env prod --parameter-overrides (.*?)^```", text_of(OPERATIONS), re.DOTALL | re.MULTILINE
    )
    assert shlex.split(command.replace("\\\n", " ")) == documented


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


def test_the_command_for_sam_local_makes_what_the_page_says() -> None:
    sns = mock.Mock()
    sns.create_topic.return_value = {"TopicArn": sam_local.names()[1]}
    made = sam_local.make(FakeDynamo().as_client(), sns, mock.Mock())
    assert f"`made {', '.join(made)}`" in text_of(OPERATIONS)


def events_that_need() -> dict[str, list[str]]:
    """The rows of the page's table: what events need, and their names."""
    rows = re.findall(r"^\| events \| need \|\n\|[-|]+\n((?:\|.*\n)+)", text_of(OPERATIONS), re.MULTILINE)
    cells = [row.strip("| ").split(" | ") for row in rows[0].splitlines()]
    return {need: re.findall(r"`([a-z-]+)`", names) for names, need in cells}


def of_the_api() -> dict[str, dict[str, Any]]:
    events = {path.stem: sample(path.stem) for path in EVENTS.glob("*.json")}
    return {
        name: event
        for name, event in events.items()
        if "http" in event.get("requestContext", {}) and "type" not in event
    }


def test_the_sample_events_that_find_nothing_in_an_empty_stack_are_those_on_the_page() -> None:
    unfound = {name for name, event in of_the_api().items() if World().send(event).status == 404}
    assert unfound == {name for names in events_that_need().values() for name in names}


def test_each_sample_event_succeeds_once_it_has_what_the_page_says_it_needs() -> None:
    of_session, of_message, of_policy, of_erasure = events_that_need().values()
    [sessions_id] = re.findall(r'^sed "s/([0-9a-f-]+)/\$ID/" events/', code_blocks(OPERATIONS), re.MULTILINE)
    world = World()
    for name in (*of_session, *of_message):
        session_id = world.new()["sessionId"]
        message_id = world.say(session_id).json["message"]["id"]
        event = json.dumps(sample(name)).replace(sessions_id, session_id)
        if name in of_message:
            path = sample(name)["rawPath"]
            event = event.replace(path.rpartition("/")[2], message_id)
        assert world.send(json.loads(event)).status < 300, name
    for name in of_policy:
        assert world.call("policy-put").status == 200
        assert world.call(name).status < 300
    for name in of_erasure:
        path = world.call("erasure").headers["location"]
        assert world.call(name, path=path).status == 200


def test_the_sample_of_the_sessions_stream_passes_the_mappings_filter_and_is_published() -> None:
    world = Living()
    records = sample("stream-sessions")["Records"]
    assert all(world.mapping._lets_through(record) for record in records)
    assert world.start({"Records": records}) == {"batchItemFailures": []}
    assert [kind for kind, _ in world.events()] == ["created", "ended"]


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
