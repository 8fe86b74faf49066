"""`make lint-template` checks what the default parameters make of the template; this test checks the rest of it."""

import json

from cfnlint.api import lint  # type: ignore[import-untyped]
from cfnlint.config import ManualArgs  # type: ignore[import-untyped]

from template_reader import expand
from tests.template_reader import REGION, template


def test_the_template_with_a_rollout_in_steps_lints() -> None:
    expanded = expand(template(), {"GradualRollout": "Canary10Percent10Minutes"})
    matches = lint(json.dumps(expanded), config=ManualArgs(regions=[REGION]))
    assert [f"{each.rule.id} {each.path}: {each.message}" for each in matches] == []
