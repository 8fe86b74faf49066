"""docs/security.md keeps its word: the tests that it names exist, and so do the parameters, files and targets."""

import re
from pathlib import Path
from typing import Final

import pytest

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


def test_every_file_that_the_page_links_to_exists() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target


def test_every_parameter_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`([A-Z][a-z]+[A-Z]\w+)`", PAGE))
    actions = {"PutItem", "UpdateItem", "GetItem", "DisableExecuteApiEndpoint"}
    assert named - actions
    assert named - actions <= template()["Parameters"].keys()


@pytest.mark.parametrize("line", re.findall(r'^make api-key .*ARGS="([^"]+)"', PAGE, re.MULTILINE))
def test_every_command_for_keys_on_the_page_is_one(line: str) -> None:
    assert command._parser().parse_args(line.split()).action in line
