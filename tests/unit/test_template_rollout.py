"""A deployment reaches the gateway: each change of the API function makes a version, and the alias moves to it."""

import copy
import json
from collections.abc import Mapping
from typing import Any, Final

import pytest

from template_reader import expand
from tests.template_reader import Deployment, expanded, template

FUNCTION: Final = "SessionApiFunction"
OTHER_VALUES: Final = {
    "CorsAllowOrigins": "https://app.example.com",
    "DomainName": "sessions.example.com",
    "DomainCertificateArn": "arn:aws:acm:eu-west-1:123456789012:certificate/1",
    "DomainHostedZoneId": "Z1",
    "EventSource": "/elsewhere",
    "EventsEmail": "ops@example.com",
    "EventsHttpsEndpoint": "https://example.com/events",
    "EventsQueueArn": "arn:aws:sqs:eu-west-1:123456789012:warnings",
    "EventsFilterPolicy": '{"type":["x"]}',
    "KmsKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/1",
    "AlarmEmail": "ops@example.com",
}
"""For parameters whose declaration does not give a second value."""


def another_value(parameter: str) -> str:
    declared = template()["Parameters"][parameter]
    if "AllowedValues" in declared:
        return str(next(value for value in declared["AllowedValues"] if value != declared["Default"]))
    if declared["Type"] == "Number":
        return str(declared["Default"] + 1)
    return OTHER_VALUES[parameter]


RECIPES: Final[list[dict[str, str]]] = [
    {},
    *({"GradualRollout": value} for value in template()["Parameters"]["GradualRollout"]["AllowedValues"][1:]),
    {"ApiSnapStart": "on"},
    {"ApiProvisionedConcurrency": "5"},
]
"""The ways to roll out that docs/operations.md has."""

FIXED: Final = ("FunctionName", "Description", "CodeSha256", "ProvisionedConcurrencyConfig", "RuntimePolicy")
"""The properties of a version that CloudFormation changes by making another version (tests/e2e/test_lint.py)."""


def version(parameters: dict[str, str], body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The version that the alias serves: its logical id, and its fixed properties. Where one differs, it is another."""
    resources = expand(body, parameters)["Resources"]
    (alias,) = [each["Properties"] for each in resources.values() if each["Type"] == "AWS::Lambda::Alias"]
    logical_id: str = alias["FunctionVersion"]["Fn::GetAtt"][0]
    assert resources[logical_id]["Type"] == "AWS::Lambda::Version"
    properties = Deployment(**parameters)._resolve(resources[logical_id]["Properties"])
    return logical_id, {name: properties.get(name) for name in FIXED}


def function_and_description(**parameters: str) -> tuple[dict[str, Any], str]:
    """The function's properties, and how its version is described."""
    resources = expanded()["Resources"].values()
    (published,) = [each["Properties"]["Description"] for each in resources if each["Type"] == "AWS::Lambda::Version"]
    deployment = Deployment(**parameters)
    return deployment._resolve(expanded()["Resources"][FUNCTION]["Properties"]), deployment._resolve(published)


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_whatever_the_rollout_a_changed_layer_code_property_or_parameter_makes_a_new_version(
    recipe: dict[str, str],
) -> None:
    made = [version(recipe, template())]
    for resource, name, value in (
        ("DomainLayer", "ContentUri", "s3://packaged/another.zip"),
        ("DependenciesLayer", "ContentUri", "s3://packaged/another.zip"),
        (FUNCTION, "CodeUri", "s3://packaged/another.zip"),
        (FUNCTION, "Timeout", 11),
    ):
        changed = copy.deepcopy(template())
        changed["Resources"][resource]["Properties"][name] = value
        made.append(version(recipe, changed))
    made += [
        version(recipe | {parameter: another_value(parameter)}, template())
        for parameter in ("LogLevel", "SessionDefaultTimeoutMinutes")
    ]
    assert [each for each in made if made.count(each) > 1] == []
    assert version(recipe, copy.deepcopy(template())) == made[0]


@pytest.mark.parametrize("parameter", template()["Parameters"])
def test_a_parameter_makes_a_new_version_exactly_where_it_changes_the_function(parameter: str) -> None:
    """Lambda refuses to publish a second version of an unchanged function: so neither too few nor too many."""
    before, after = function_and_description(), function_and_description(**{parameter: another_value(parameter)})
    assert (before[0] != after[0]) == (before[1] != after[1])


def test_the_longest_description_of_a_version_is_one_that_lambda_takes() -> None:
    longest = {
        name: max((str(value) for value in declared["AllowedValues"]), key=len)
        if "AllowedValues" in declared
        else str(declared.get("MaxValue", 10**9))
        for name, declared in template()["Parameters"].items()
        if "AllowedValues" in declared or declared["Type"] == "Number"
    }
    _, description = function_and_description(**longest)
    assert len(description) <= 256


def test_the_gateway_calls_the_alias_and_may() -> None:
    deployment = Deployment()
    (alias,) = deployment.of_type("AWS::Lambda::Alias").values()
    address = f"{deployment.arn(FUNCTION)}:{alias['Name']}"
    integration = deployment.resources["SessionApiIntegration"]["Properties"]
    assert f"/functions/{address}/invocations" in integration["IntegrationUri"]
    assert deployment.resources["SessionApiPermission"]["Properties"]["FunctionName"] == address
    assert deployment.resources["SessionApiIntegration"]["DependsOn"] == "SessionApiPermission"


@pytest.mark.parametrize("rollout", template()["Parameters"]["GradualRollout"]["AllowedValues"][1:])
def test_a_rollout_in_steps_goes_back_when_the_alarm_for_5xx_goes_off(rollout: str) -> None:
    resources = expand(template(), {"GradualRollout": rollout})["Resources"]
    (alias,) = [each for each in resources.values() if each["Type"] == "AWS::Lambda::Alias"]
    assert "CodeDeployLambdaAliasUpdate" in alias["UpdatePolicy"]
    (group,) = [each["Properties"] for each in resources.values() if each["Type"] == "AWS::CodeDeploy::DeploymentGroup"]
    assert "ApiServerErrorsAlarm" in json.dumps(group["AlarmConfiguration"])
    assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
    assert rollout in json.dumps(group["DeploymentConfigName"])


def test_snapshots_and_warm_instances_come_with_their_parameters_alone() -> None:
    def made(**parameters: str) -> tuple[str, object]:
        deployment = Deployment(**parameters)
        (alias,) = deployment.of_type("AWS::Lambda::Alias").values()
        snap_start: str = deployment.resources[FUNCTION]["Properties"]["SnapStart"]["ApplyOn"]
        return snap_start, alias.get("ProvisionedConcurrencyConfig")

    assert made() == ("None", None)
    assert made(ApiSnapStart="on") == ("PublishedVersions", None)
    assert made(ApiProvisionedConcurrency="5") == ("None", {"ProvisionedConcurrentExecutions": "5"})
