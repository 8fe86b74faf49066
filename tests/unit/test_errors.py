"""The error tree and the one table of statuses."""

import inspect
import re

import pytest
from agent_sessions import errors
from agent_sessions.api.http import STATUS
from agent_sessions.errors import SessionServiceError

from tests.unit.world import STATUS_OF_CODE


def everyone(root: type[SessionServiceError]) -> list[type[SessionServiceError]]:
    return [root, *[leaf for child in root.__subclasses__() for leaf in everyone(child)]]


TREE = everyone(SessionServiceError)


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_every_error_has_the_status_that_the_contract_gives_its_code(kind: type[SessionServiceError]) -> None:
    assert STATUS[kind] == STATUS_OF_CODE[kind.code]


def test_every_code_of_the_contract_has_an_error() -> None:
    assert {kind.code for kind in TREE} == STATUS_OF_CODE.keys()


def test_the_picture_of_the_tree_shows_the_tree() -> None:
    drawn = re.findall(r"^[├└]── (\w+) ", inspect.getdoc(errors) or "", re.MULTILINE)
    assert set(drawn) == {kind.__name__ for kind in TREE} - {"SessionServiceError"}
