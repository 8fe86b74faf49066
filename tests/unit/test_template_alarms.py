"""Alarms and the dashboard speak of metrics that exist, and alarms say their rule."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from agent_sessions.telemetry import metrics

from tests.template_reader import FUNCTIONS, Deployment
from tests.unit.rehearsal import Rehearsal

# The metrics of AWS that are used, each with the sets of dimensions in which AWS publishes it.
AWS_METRICS: dict[str, list[set[str]]] = {
    **{f"AWS/ApiGateway/{name}": [{"ApiId"}, {"ApiId", "Stage"}] for name in ("Count", "4xx", "5xx", "Latency")},
    **{f"AWS/Lambda/{name}": [{"FunctionName"}] for name in ("Duration", "Errors", "IteratorAge", "Throttles")},
    **{
        f"AWS/DynamoDB/{name}": [{"TableName"}, {"TableName", "GlobalSecondaryIndexName"}]
        for name in (
            "ConsumedReadCapacityUnits",
            "ConsumedWriteCapacityUnits",
            "ReadThrottleEvents",
            "WriteThrottleEvents",
        )
    },
    "AWS/SQS/ApproximateNumberOfMessagesVisible": [{"QueueName"}],
    "AWS/SNS/NumberOfNotificationsFailed": [{"TopicName"}],
}
Metric = tuple[str, dict[str, str]]


@pytest.fixture(scope="module")
def rehearsal() -> Rehearsal:
    return Rehearsal()


@pytest.fixture(scope="module")
def published(rehearsal: Rehearsal) -> dict[str, set[frozenset[str]]]:
    """Our own metrics, as the functions print them."""
    found: dict[str, set[frozenset[str]]] = {}
    for function in FUNCTIONS:
        for name, dimensions in rehearsal.notes[function].metrics.items():
            found.setdefault(name, set()).update(dimensions)
    return found


def alarms() -> dict[str, dict[str, Any]]:
    return Deployment().of_type("AWS::CloudWatch::Alarm")


def metrics_of_alarms() -> Iterator[tuple[str, Metric]]:
    for name, alarm in alarms().items():
        watched = (
            [alarm]
            if "MetricName" in alarm
            else [each["MetricStat"]["Metric"] for each in alarm["Metrics"] if "MetricStat" in each]
        )
        for metric in watched:
            dimensions = {each["Name"]: each["Value"] for each in metric["Dimensions"]}
            yield name, (f"{metric['Namespace']}/{metric['MetricName']}", dimensions)


def dashboard() -> dict[str, Any]:
    (properties,) = Deployment().of_type("AWS::CloudWatch::Dashboard").values()
    body: dict[str, Any] = json.loads(properties["DashboardBody"])
    return body


def metrics_of_the_dashboard() -> Iterator[tuple[str, Metric]]:
    for widget in dashboard()["widgets"]:
        for line in widget["properties"].get("metrics", []):
            if "expression" in line[0]:  # computed from the other lines of the widget
                continue
            namespace, name, *rest = [part for part in line if isinstance(part, str)]
            yield widget["properties"]["title"], (f"{namespace}/{name}", dict(zip(rest[::2], rest[1::2], strict=True)))


@pytest.mark.parametrize("source", [metrics_of_alarms, metrics_of_the_dashboard])
def test_every_metric_that_is_watched_is_published_with_those_dimensions(
    source: Any, published: dict[str, set[frozenset[str]]]
) -> None:
    names = {value for name, value in vars(metrics).items() if name.isupper()}
    for where, (metric, dimensions) in source():
        if metric.startswith("AWS/"):
            assert set(dimensions) in AWS_METRICS[metric], (where, metric)
            continue
        assert metric.removeprefix("AgentSessions/") in names, (where, metric)
        assert dimensions == {"service": "sessions"}, (where, metric)
        if metric in published:
            assert frozenset(dimensions) in published[metric], (where, metric)


def test_every_metric_of_the_code_is_on_the_dashboard() -> None:
    names = {value for name, value in vars(metrics).items() if name.isupper()}
    shown = {metric.removeprefix("AgentSessions/") for _, (metric, _) in metrics_of_the_dashboard()}
    assert names <= shown


def test_the_functions_publish_what_the_code_names_with_the_service_as_the_one_dimension(
    published: dict[str, set[frozenset[str]]],
) -> None:
    names = {f"AgentSessions/{value}" for name, value in vars(metrics).items() if name.isupper()}
    assert set(published) <= names
    assert names - set(published) <= {"AgentSessions/RequestErrors"}  # nothing fails in the rehearsal
    assert {frozenset(each) for sets in published.values() for each in sets} == {frozenset({"service"})}


_TABLES = ("SessionsTable", "MessagesTable", "AgentPoliciesTable", "ApiKeysTable")


def test_every_table_and_every_index_of_the_sessions_has_an_alarm_for_throttling() -> None:
    watched = {
        (dimensions["TableName"], dimensions.get("GlobalSecondaryIndexName"))
        for _, (metric, dimensions) in metrics_of_alarms()
        if metric.endswith("WriteThrottleEvents")
    }
    sessions = Deployment().resources["SessionsTable"]["Properties"]
    expected = {("SessionsTable", index["IndexName"]) for index in sessions["GlobalSecondaryIndexes"]}
    assert watched == expected | {(table, None) for table in _TABLES}


def test_a_trial_can_do_without_alarms_and_dashboard() -> None:
    kinds = {resource["Type"] for resource in Deployment(Alarms="off", AlarmEmail="ops@example.com").resources.values()}
    assert kinds.isdisjoint({"AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard", "AWS::SNS::Subscription"})
