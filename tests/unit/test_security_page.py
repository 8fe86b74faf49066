"""docs/security.md keeps its word: the tests that it names exist, and so do the parameters, files and targets."""

import json
import re
from pathlib import Path
from typing import Final

import pytest
from samtranslator.yaml_helper import yaml_parse

from tests.template_reader import template
from tools import keys as command

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tests() -> set[str]:
    files = (path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    return {name for text in files for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)}


def test_every_test_that_the_page_names_exists(tests: set[str]) -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 20
    assert named <= tests, named - tests


def test_every_parameter_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`([A-Z][a-z]+[A-Z]\w+)`", PAGE))
    properties = {"DisableExecuteApiEndpoint"}
    assert named - properties
    assert named - properties <= template()["Parameters"].keys()


def test_the_feed_of_a_tenant_gives_it_one_queue_and_no_topic() -> None:
    [block] = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    feed = {name: resource["Properties"] for name, resource in yaml_parse(block).items()}
    assert json.loads(feed["AcmeSubscription"]["FilterPolicy"]) == {"tenantId": ["acme"]}
    [from_topic, tenant] = feed["AcmeQueuePolicy"]["PolicyDocument"]["Statement"]
    assert from_topic["Principal"] == {"Service": "sns.amazonaws.com"}
    assert tenant["Principal"].keys() == {"AWS"}
    assert tenant["Resource"] == from_topic["Resource"] == feed["AcmeSubscription"]["Endpoint"]
    assert {action.partition(":")[0] for action in tenant["Action"]} == {"sqs"}
    assert "sqs:SendMessage" not in tenant["Action"]


@pytest.mark.parametrize("line", re.findall(r'^make api-key .*ARGS="([^"]+)"', PAGE, re.MULTILINE))
def test_every_command_for_keys_on_the_page_is_one(line: str) -> None:
    assert command._parser().parse_args(line.split()).action in line
