"""Each function may do what it does, on what it does it to, and nothing else."""

import re
from typing import Any

import pytest
from agent_sessions.aws_clients.lean_dynamodb import LeanDynamoDb
from agent_sessions.sweep.dynamo_record import RECORD

from tests.template_reader import FUNCTIONS, PATH, Deployment
from tests.unit.calls_in_code import operations_in_the_code, operations_of
from tests.unit.rehearsal import Rehearsal

PACKAGE = PATH.parent / "layers" / "domain" / "agent_sessions"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/1"
# What Lambda does in a function's name: write its log, read a queue or a stream, and keep the runs that failed.
PLATFORM = {
    "dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams",
    "logs:CreateLogStream", "logs:PutLogEvents", "sqs:ChangeMessageVisibility", "sqs:DeleteMessage",
    "sqs:GetQueueAttributes", "sqs:ReceiveMessage",
}  # fmt: skip


@pytest.fixture(scope="module")
def rehearsal() -> Rehearsal:
    return Rehearsal()


def calls(rehearsal: Rehearsal, function: str) -> set[tuple[str, str]]:
    return {(call.action, call.resource) for call in rehearsal.notes[function].calls}


def granted(deployment: Deployment, function: str) -> set[tuple[str, str]]:
    dead_letters = ("sqs:SendMessage", deployment.arn("SweepDeadLetterQueue"))
    grants = deployment.grants(function) - {dead_letters}
    return {(action, resource) for action, resource in grants if action not in PLATFORM}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_call_that_a_function_makes_is_allowed(rehearsal: Rehearsal, function: str) -> None:
    assert calls(rehearsal, function) - granted(rehearsal.deployment, function) == set()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_is_allowed_nothing_that_it_does_not_call(rehearsal: Rehearsal, function: str) -> None:
    assert granted(rehearsal.deployment, function) - calls(rehearsal, function) == set()


def test_the_rehearsal_makes_every_kind_of_call_that_stands_in_the_code(rehearsal: Rehearsal) -> None:
    made = {operation for notes in rehearsal.notes.values() for operation in notes.operations}
    assert {name for names in operations_in_the_code().values() for name in names} == made


def test_the_lean_transport_has_every_call_of_the_functions_that_may_use_it(rehearsal: Rehearsal) -> None:
    functions = [name for name in FUNCTIONS if "SDK_TRANSPORT" in Deployment().environment(name)]
    called = {call for name in functions for call in rehearsal.notes[name].operations} & operations_of(
        "dynamodb"
    ).keys()
    assert called == {name for name in vars(LeanDynamoDb) if not name.startswith("_")} - {"close"}


def test_the_sweeper_may_start_itself_only_where_it_fans_out() -> None:
    itself = Deployment().arn("ExpirySweeperFunction")
    assert ("lambda:InvokeFunction", itself) in Deployment(SweepFanOut="2").grants("ExpirySweeperFunction")
    assert not any(action.startswith("lambda:") for action, _ in Deployment().grants("ExpirySweeperFunction"))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_writes_to_its_own_log_only(function: str) -> None:
    deployment = Deployment()
    group = deployment.resources[function]["Properties"]["LoggingConfig"]["LogGroup"]
    logs = {resource for action, resource in deployment.grants(function) if action.startswith("logs:")}
    assert logs == {deployment.arn(group)}
    assert group.removesuffix("LogGroup") == function.removesuffix("Function")


def test_the_sweeper_may_write_its_dead_letters_and_orders_go_from_the_api_to_the_eraser() -> None:
    deployment = Deployment()
    orders = {deployment.arn("EraserQueue")}
    expected = {
        "ExpirySweeperFunction": {deployment.arn("SweepDeadLetterQueue")},
        "SessionApiFunction": orders,
        "EraserFunction": orders,
        "MessagePublisherFunction": {deployment.arn("MessagePublisherDeadLetterQueue")},
    }
    for function in FUNCTIONS:
        grants = [(action, resource) for action, resource in deployment.grants(function) if action.startswith("sqs:")]
        assert {resource for _, resource in grants} == expected.get(function, set())
        assert ("sqs:ReceiveMessage" in {action for action, _ in grants}) == (function == "EraserFunction")


def test_the_customers_key_is_used_through_the_services_that_hold_the_data_and_in_no_other_way() -> None:
    deployment = Deployment(KmsKeyArn=KEY)
    services = {
        "SessionApiFunction": {"dynamodb", "sqs"},
        "SessionMessagesFunction": {"dynamodb"},
        "EraserFunction": {"dynamodb", "sns", "sqs"},
        "ExpirySweeperFunction": {"dynamodb", "sns", "sqs"},
        "ApiKeyAuthorizerFunction": {"dynamodb"},
        "MessagePublisherFunction": {"dynamodb", "sns", "sqs"},
    }
    for function, expected in services.items():
        (statement,) = [each for each in deployment.statements(function) if each["Action"][0].startswith("kms:")]
        assert statement["Resource"] == [KEY]
        assert "kms:Decrypt" in statement["Action"]
        assert statement["Condition"] == {
            "StringEquals": {"kms:ViaService": [f"{name}.eu-west-1.amazonaws.com" for name in sorted(expected)]}
        }
        assert not any(action.startswith("kms:") for action, _ in Deployment().grants(function))


def test_the_publisher_reads_one_stream_and_changes_one_item_of_the_sessions() -> None:
    statements = {each["Sid"]: each for each in Deployment().statements("MessagePublisherFunction")}
    assert statements["Stream"]["Resource"] == ["MessagesTable.StreamArn"]
    assert statements["Lag"]["Condition"] == {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [RECORD]}}


def test_the_publisher_reads_the_sessions_stream_only_where_their_events_are_on() -> None:
    off, on = (Deployment(LifecycleEvents=state) for state in ("off", "on"))
    stream = {action for action, at in on.grants("MessagePublisherFunction") if "SessionsTable.Stream" in at}
    assert stream == {"dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"}
    assert not any("SessionsTable.Stream" in at for _, at in off.grants("MessagePublisherFunction"))
    assert "StreamSpecification" not in off.of_type("AWS::DynamoDB::Table")["SessionsTable"]
    assert "SessionEventsMapping" not in off.of_type("AWS::Lambda::EventSourceMapping")
    assert "SessionEventsMapping" in on.of_type("AWS::Lambda::EventSourceMapping")


@pytest.mark.parametrize("topic", ["SessionEventsTopic", "AlarmsTopic"])
def test_topics_refuse_unencrypted_transport(topic: str) -> None:
    statements = topic_policy(topic)
    assert {"Bool": {"aws:SecureTransport": "false"}} in [
        each.get("Condition") for each in statements if each["Effect"] == "Deny"
    ]


def test_the_topic_of_events_refuses_other_accounts_and_opens_to_no_service() -> None:
    statements = topic_policy("SessionEventsTopic")
    (refusal,) = [each for each in statements if "StringNotEquals" in each.get("Condition", {})]
    assert refusal["Effect"] == "Deny"
    assert refusal["Principal"] == "*"
    assert refusal["Condition"] == {"StringNotEquals": {"aws:PrincipalAccount": "123456789012"}}
    (allowed,) = [each for each in statements if each["Effect"] == "Allow"]
    assert allowed["Principal"] == {"AWS": "arn:aws:iam::123456789012:root"}
    assert set(allowed["Action"]) <= set(refusal["Action"])


def topic_policy(topic: str) -> list[dict[str, Any]]:
    deployment = Deployment()
    (policy,) = [
        each["PolicyDocument"]
        for each in deployment.of_type("AWS::SNS::TopicPolicy").values()
        if each["Topics"] == [deployment.arn(topic)]
    ]
    statements: list[dict[str, Any]] = policy["Statement"]
    return statements


@pytest.mark.parametrize("kind", ["AWS::SNS::Topic", "AWS::SQS::Queue"])
def test_topics_of_events_and_queues_are_encrypted_with_the_customers_key_where_there_is_one(kind: str) -> None:
    for name, properties in Deployment().of_type(kind).items():
        managed = properties.get("KmsMasterKeyId") == "alias/aws/sns" or properties.get("SqsManagedSseEnabled") is True
        assert managed or name == "AlarmsTopic"  # CloudWatch cannot use SNS's own key
    for properties in Deployment(KmsKeyArn=KEY).of_type(kind).values():
        assert properties["KmsMasterKeyId"] == KEY
        assert "SqsManagedSseEnabled" not in properties


def test_every_wildcard_in_the_template_has_its_reason_beside_it() -> None:
    lines = PATH.read_text(encoding="utf-8").splitlines()
    wildcard = re.compile(r"^\s*(Action|Resource|Principal|SourceArn)\b.*(\"\*\"|:\*|/\*)")
    found = [number for number, line in enumerate(lines) if wildcard.match(line)]
    assert len(found) == 8, "the topics' refusals, X-Ray, the gateway's routes and the labels of two streams"
    for number in found:
        assert any("#" in line for line in lines[number - 4 : number + 1]), f"line {number + 1}: {lines[number]}"
