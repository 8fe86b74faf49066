"""`make lint-template` checks what the default parameters make of the template; this file checks the rest of it."""

import json
from collections.abc import Mapping
from typing import Any

from template_reader import expand
from tests.template_reader import REGION, template
from tests.unit.test_template_rollout import FIXED


def faults_in(expanded: Mapping[str, Any]) -> list[str]:
    """What the linter for CloudFormation finds."""
    from cfnlint.api import lint  # type: ignore[import-untyped] # noqa: PLC0415 - seconds, for every process of the tests
    from cfnlint.config import ManualArgs  # type: ignore[import-untyped] # noqa: PLC0415

    matches = lint(json.dumps(expanded), config=ManualArgs(regions=[REGION]))
    return [f"{each.rule.id} {each.path}: {each.message}" for each in matches]


def test_the_template_with_a_rollout_in_steps_lints() -> None:
    assert faults_in(expand(template(), {"GradualRollout": "Canary10Percent10Minutes"})) == []


def test_a_version_with_another_description_is_another_version_by_cloudformations_own_schema() -> None:
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped] # noqa: PLC0415

    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, "AWS::Lambda::Version").schema
    assert {path.rpartition("/")[2] for path in schema["createOnlyProperties"]} == set(FIXED)
    assert "Description" in FIXED
