"""The template as a whole: it parses, expands, and says in words what everything is for."""

import json
import re
from typing import Any

import botocore.session
import pytest

import template_reader
from template_reader import Template
from tests.template_reader import REGION, Deployment, expanded, template

KEY = f"arn:aws:kms:{REGION}:123456789012:key/1"
CERTIFICATE = f"arn:aws:acm:{REGION}:123456789012:certificate/1"
QUEUE = f"arn:aws:sqs:{REGION}:123456789012:warnings"
EVERYTHING = {
    "Stage": "prod",
    "KmsKeyArn": KEY,
    "Tracing": "on",
    "SweepFanOut": "4",
    "CorsAllowOrigins": "https://app.example.com,https://example.org:8443",
    "DomainName": "sessions.example.com",
    "DomainCertificateArn": CERTIFICATE,
    "DomainHostedZoneId": "Z0123456789",
    "EventsEmail": "ops@example.com",
    "EventsHttpsEndpoint": "https://example.com/events",
    "EventsQueueArn": QUEUE,
    "EventsFilterPolicy": '{"type":["agent-sessions.session.expiring"]}',
    "AlarmEmail": "ops@example.com",
    "ApiProvisionedConcurrency": "5",
    "MessagesReservedConcurrency": "200",
    "EraserReservedConcurrency": "2",
    "LifecycleEvents": "on",
}


@pytest.mark.parametrize("parameters", [{}, EVERYTHING, {"Gauge": "off", "AmazonCaBundle": "off", "Alarms": "off"}])
def test_every_reference_leads_somewhere_whatever_is_switched_on(parameters: dict[str, str]) -> None:
    assert Deployment(**parameters).resources


def test_every_condition_is_used_and_switches_something() -> None:
    without, with_everything = Deployment(), Deployment(**EVERYTHING)
    for condition in set(expanded()["Conditions"]) - {
        "HasAlarms",
        "HasConsole",
        "HasAmazonCaBundle",
        "HasGauge",
        "HasEventSource",
        "HasSnapStart",  # not with provisioned concurrency
    }:
        assert not without.holds(condition), condition
        assert with_everything.holds(condition), condition


def test_every_parameter_says_which_values_it_takes_and_has_a_default_among_them() -> None:
    for name, declaration in template()["Parameters"].items():
        default = declaration["Default"]
        if declaration["Type"] == "Number":
            assert ("MinValue" in declaration) or ("AllowedValues" in declaration), name
            assert declaration.get("MinValue", default) <= default <= declaration.get("MaxValue", default), name
        else:
            assert ("AllowedValues" in declaration) or ("AllowedPattern" in declaration), name
            for value in default.split(",") if declaration["Type"] == "CommaDelimitedList" else [default]:
                assert re.fullmatch(declaration.get("AllowedPattern", ".*"), value), name
        assert default in declaration.get("AllowedValues", [default]), name


def test_every_log_group_forgets_after_the_days_that_were_asked_for() -> None:
    deployment = Deployment(LogRetentionDays="90")
    groups = deployment.of_type("AWS::Logs::LogGroup")
    assert {group["RetentionInDays"] for group in groups.values()} == {"90"}
    logged_to = {
        properties["LoggingConfig"]["LogGroup"] for properties in deployment.of_type("AWS::Lambda::Function").values()
    }
    assert logged_to < set(groups)


def test_the_log_of_the_gateway_needs_no_line_of_its_own_in_the_accounts_policy_for_log_delivery() -> None:
    """That policy is bounded; AWS delivers to this prefix anyway, by its guide to enabling logs from services."""
    deployment = Deployment()
    (stage,) = deployment.of_type("AWS::ApiGatewayV2::Stage").values()
    group = deployment.resources[stage["AccessLogSettings"]["DestinationArn"].partition("log-group:")[2].split(":")[0]]
    assert group["Properties"]["LogGroupName"] == "/aws/vendedlogs/agent-sessions/sessions"


@pytest.mark.parametrize("partition", botocore.session.get_session().get_available_partitions())
def test_the_dashboard_has_a_name_in_every_region_and_a_link_in_every_partition_whose_console_is_known(
    partition: str,
) -> None:
    outputs = Template(deployment=template_reader.Deployment(partition=partition, region="r-1", stack="s")).outputs
    host = template()["Mappings"]["Partitions"].get(partition, {}).get("Console")
    link = host and f"https://r-1.{host}/cloudwatch/home?region=r-1#dashboards/dashboard/Dashboard"
    assert outputs.get("DashboardUrl", {}).get("Value") == link
    assert outputs["DashboardName"]["Value"] == "Dashboard"
    assert template()["Resources"]["Dashboard"]["Properties"]["DashboardName"] == {
        "Fn::Sub": "${AWS::StackName}-${AWS::Region}"
    }


def test_outside_of_aws_itself_arns_and_addresses_are_the_partitions_own() -> None:
    deployment = template_reader.Deployment({"KmsKeyArn": KEY}, partition="aws-eusc", url_suffix="amazonaws.eu")
    made = json.dumps(Template(deployment=deployment, as_cloudformation=True).resources).replace(KEY, "")
    assert set(re.findall(r"arn:([\w-]+):", made)) == {"aws-eusc"}
    addresses = set(re.findall(r'"([\w.-]*\.amazonaws\.[\w.]+)"', made))
    principals = {f"{service}.amazonaws.com" for service in ("apigateway", "cloudwatch", "events", "lambda", "sns")}
    assert {each for each in addresses - principals if not each.endswith(".eu-west-1.amazonaws.eu")} == set()


def test_production_keeps_its_tables_and_development_leaves_nothing_behind() -> None:
    for stage, policy, protected in (("prod", "Retain", True), ("dev", "Delete", False)):
        tables = [
            resource
            for resource in Deployment(Stage=stage).resources.values()
            if resource["Type"] == "AWS::DynamoDB::Table"
        ]
        assert len(tables) == 4
        for table in tables:
            assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == policy
            assert table["Properties"]["DeletionProtectionEnabled"] is protected


def test_functions_run_on_the_architecture_that_was_asked_for_and_layers_say_that_they_fit() -> None:
    for architecture in ("arm64", "x86_64"):
        deployment = Deployment(Architecture=architecture)
        made: list[dict[str, Any]] = [
            *deployment.of_type("AWS::Lambda::Function").values(),
            *deployment.of_type("AWS::Lambda::LayerVersion").values(),
        ]
        assert len(made) == 8
        assert {tuple(each.get("Architectures") or each["CompatibleArchitectures"]) for each in made} == {
            (architecture,)
        }
