"""The built template, deployed: over HTTP through its gateway, by its schedule, and in Lambda's own runtime client."""

import json
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cloud import (
    BUILD,
    LAMBDA_RUNTIME,
    ROOT,
    SAM,
    SECONDS,
    STACK,
    Answer,
    Cloud,
    Stack,
    cloud,
    deploy,
    patiently,
    refuses,
    running,
)
from tests.e2e.serving import free_port
from tests.template_reader import FUNCTIONS, REGION, Deployment

BASE = "/api/messaging/sessions"
AGENT, USER = "b8504bc3-45f8-4a41-a00a-83df46d8555d", "2f1d8a64-7b0e-4c55-9a3e-d41c5b6e7f80"
"""The user is not the one whom a sample event erases."""
ACCOUNT = "000000000000"
EXPIRING = "agent-sessions.session.expiring"
CREATED = "agent-sessions.message.created"
EVENTS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "events").glob("*.json"))}


def function_of(event: str) -> str:
    """The function that a sample event is for."""
    if event.startswith("authorizer-"):
        return "ApiKeyAuthorizerFunction"
    if event.startswith("message-"):
        return "SessionMessagesFunction"
    if event.startswith("eraser-"):
        return "EraserFunction"
    if event.startswith("stream-"):
        return "MessagePublisherFunction"
    return "ExpirySweeperFunction" if event.startswith("sweep") else "SessionApiFunction"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with cloud(tmp_path_factory.mktemp("cloud")) as started:
        yield started


@pytest.fixture(scope="module")
def queue(here: Cloud) -> str:
    """A queue of a subscriber's own."""
    url: str = here.client("sqs").create_queue(QueueName="warnings")["QueueUrl"]
    return url


@pytest.fixture(scope="module")
def stack(here: Cloud, queue: str, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    assert queue
    built = subprocess.run(["make", "--silent", "build"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return deploy(
        here,
        tmp_path_factory.mktemp("sam"),
        # This AWS has no metric math; its endpoint has no certificate, and layers do not lie in /opt.
        Alarms="off",
        AmazonCaBundle="off",
        EventsQueueArn=f"arn:aws:sqs:{REGION}:{ACCOUNT}:warnings",
        EventsFilterPolicy=json.dumps({"type": [EXPIRING], "tenantId": ["acme"]}, separators=(",", ":")),
    )


def make_key(stack: Stack, tenant: str) -> str:
    def make() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tools.keys", "--stack", STACK, "create", "--tenant", tenant]
        return subprocess.run(
            command, cwd=ROOT, env=stack.cloud.environment, capture_output=True, text=True, check=False
        )

    made = patiently(make, lambda made: "busy" in made.stderr)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


@pytest.fixture(scope="module")
def key(stack: Stack) -> str:
    return make_key(stack, "acme")


def create(stack: Stack, key: str, **timeouts: Any) -> Answer:
    return stack.request("POST", BASE, key=key, body={"agentId": AGENT, "userId": USER, "timeoutConfig": timeouts})


def test_the_stack_comes_up_whole(stack: Stack) -> None:
    listed = stack.cloud.client("cloudformation").describe_stack_resources(StackName=STACK)["StackResources"]
    assert {each["ResourceStatus"] for each in listed} == {"CREATE_COMPLETE"}
    expected = Deployment(Alarms="off", EventsQueueArn="arn:aws:sqs:x:1:y").resources.values()
    assert sorted(each["ResourceType"] for each in listed) == sorted(each["Type"] for each in expected)


def test_health_answers_through_the_gateway_without_a_key(stack: Stack) -> None:
    answer = stack.request("GET", f"{BASE}/health")
    assert answer.status == 200
    assert answer.json["status"] in {"healthy", "degraded"}


def test_the_gateway_turns_away_who_has_no_key_or_a_wrong_one(stack: Stack) -> None:
    missing, wrong = stack.request("GET", BASE), stack.request("GET", BASE, key="as_wrong")
    assert (missing.status, missing.json) == (401, {"message": "Unauthorized"})
    assert (wrong.status, wrong.json) == (403, {"message": "Forbidden"})


def test_a_session_lives_its_life_over_http(stack: Stack, key: str) -> None:
    created = create(stack, key)
    assert created.status == 201 or created.is_repeat, created.text
    path = f"{BASE}/{created.json['sessionId']}"
    assert created.headers["location"].endswith(path)
    assert stack.request("GET", path, key=key).json["sessionId"] == created.json["sessionId"]
    renewed = [stack.request("POST", f"{path}/{route}", key=key) for route in ("heartbeat", "renew")]
    assert [each.json["renewalCount"] for each in renewed] == [1, 2] or any(each.is_repeat for each in renewed)
    patched = stack.request("PATCH", f"{path}/timeout", key=key, body={"timeoutMinutes": 60})
    assert patched.json["timeoutConfig"]["timeoutMinutes"] == 60
    listed = stack.request("GET", BASE, key=key).json["sessions"]
    assert created.json["sessionId"] in [session["sessionId"] for session in listed]
    deleted = stack.request("DELETE", path, key=key)
    assert deleted.status == 200 or deleted.is_repeat
    gone = stack.request("GET", path, key=key)
    assert (gone.status, gone.json["error"]["code"]) == (404, "SESSION_NOT_FOUND")


def test_a_message_posted_over_http_becomes_an_event_in_a_subscribed_queue_through_the_stream(
    stack: Stack, key: str
) -> None:
    sqs, sns = stack.cloud.client("sqs"), stack.cloud.client("sns")
    url = sqs.create_queue(QueueName="agent")["QueueUrl"]
    sns.subscribe(
        TopicArn=stack.outputs["SessionEventsTopicArn"],
        Protocol="sqs",
        Endpoint=f"arn:aws:sqs:{REGION}:{ACCOUNT}:agent",
        Attributes={
            "RawMessageDelivery": "true",
            "FilterPolicy": json.dumps({"type": [CREATED], "agentId": [AGENT], "role": ["user"]}),
        },
    )
    session_id = create(stack, key).json["sessionId"]
    path = f"{BASE}/{session_id}/messages"
    posted = stack.request("POST", path, key=key, body={"content": "hello"})
    assert posted.status == 201 or posted.is_repeat, posted.text
    reply = stack.request("POST", path, key=key, body={"content": "not for an agent", "role": "agent"})
    assert reply.status == 201 or reply.is_repeat
    arrived: list[dict[str, Any]] = []
    give_up = time.monotonic() + SECONDS
    while session_id not in [event["subject"] for event in arrived] and time.monotonic() < give_up:
        messages = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10, MaxNumberOfMessages=10).get("Messages", [])
        arrived += [json.loads(message["Body"]) for message in messages]
    event, *repeats = [event for event in arrived if event["subject"] == session_id]
    assert all(repeat == event for repeat in repeats)
    assert event["type"] == CREATED
    assert event["data"]["message"]["id"] == posted.json["message"]["id"]
    assert "content" not in event["data"]["message"]


class Ended:
    """A session that was deleted after some messages, and another of the same user that was not."""

    def __init__(self, stack: Stack, key: str) -> None:
        self._stack = stack
        self._key = key
        self._dynamodb = stack.cloud.client("dynamodb")
        self.kept = self._talked_in()
        # Where the machine stands still during a DELETE, the eraser does the rest: then another session is deleted.
        self.answer = patiently(self._delete, lambda answer: answer.is_repeat or answer.json["data"]["pending"])
        # What a writer in flight stores after the DELETE.
        late: Any = {"life": {"S": self.life}, "seq": {"N": "3"}, "content": {"S": "late"}}
        self._dynamodb.put_item(TableName=stack.outputs["MessagesTableName"], Item=late)

    def _talked_in(self) -> str:
        path = f"{BASE}/{create(self._stack, self._key).json['sessionId']}"
        for text in ("first", "second"):
            said = self._stack.request("POST", f"{path}/messages", key=self._key, body={"content": text})
            assert said.status == 201 or said.is_repeat, said.text
        return path

    def _delete(self) -> Answer:
        path = self._talked_in()
        [self.life] = [life for life in self.lives() if life.startswith(path.rpartition("/")[2])]
        answer = self._stack.request("DELETE", path, key=self._key)
        self.left_at_once = self.lives()
        self.read_later = self._stack.request("GET", f"{path}/messages", key=self._key)
        return answer

    def lives(self) -> set[str]:
        """What has messages stored."""
        pages = self._dynamodb.get_paginator("scan").paginate(TableName=self._stack.outputs["MessagesTableName"])
        return {item["life"]["S"] for page in pages for item in page["Items"]}


@pytest.fixture(scope="module")
def ended(stack: Stack, key: str) -> Ended:
    return Ended(stack, key)


def test_a_delete_removes_what_was_said_at_once(stack: Stack, key: str, ended: Ended) -> None:
    assert ended.answer.status == 200, ended.answer.text
    assert ended.answer.json["data"]["messagesDeleted"] == 2
    assert ended.answer.json["data"]["pending"] is False
    assert ended.life not in ended.left_at_once
    assert (ended.read_later.status, ended.read_later.json["error"]["code"]) == (404, "SESSION_NOT_FOUND")
    told = stack.request("GET", f"{ended.kept}/messages", key=key).json["messages"]
    assert [message["content"] for message in told] == ["second", "first"]


@pytest.mark.parametrize("name", EVENTS)
def test_a_function_answers_its_sample_events(stack: Stack, name: str) -> None:
    check(name, stack.invoke(function_of(name), EVENTS[name]))


def check(name: str, answer: Any) -> None:
    match function_of(name):
        case "SessionApiFunction" | "SessionMessagesFunction":
            assert answer["statusCode"] in ({400} if name == "create-invalid" else {200, 201, 202, 404})
            assert answer["headers"]["x-request-id"] == EVENTS[name]["requestContext"]["requestId"]
        case "ApiKeyAuthorizerFunction":
            assert answer["isAuthorized"] is False
        case "EraserFunction" | "MessagePublisherFunction":
            assert answer == {"batchItemFailures": []}
        case _:
            assert {"claimed", "fanOut", "pass"} & answer.keys()


def test_the_schedule_fires_by_itself_and_the_warning_arrives_in_the_subscribed_queue(
    stack: Stack, key: str, queue: str
) -> None:
    quiet = create(stack, key, timeoutMinutes=600, warningThresholdMinutes=5).json["sessionId"]
    soon = {"timeoutMinutes": 600, "warningThresholdMinutes": 599}
    elsewhere = create(stack, make_key(stack, "other"), **soon).json["sessionId"]
    near = create(stack, key, **soon).json["sessionId"]
    sqs = stack.cloud.client("sqs")
    arrived: list[dict[str, Any]] = []
    give_up = time.monotonic() + 600
    while near not in [event["subject"] for event in arrived] and time.monotonic() < give_up:
        messages = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=10, MaxNumberOfMessages=10).get("Messages", [])
        arrived += [json.loads(message["Body"]) for message in messages]
    subjects = [event["subject"] for event in arrived]
    assert not {quiet, elsewhere} & set(subjects)
    warning, *repeats = [event for event in arrived if event["subject"] == near]
    assert {repeat["id"] for repeat in repeats} <= {warning["id"]}, "an event may come more than once"
    assert warning["specversion"] == "1.0"
    assert warning["type"] == EXPIRING
    assert warning["source"] == f"/agent-sessions/{REGION}/{STACK}"
    assert warning["data"]["tenantId"] == "acme"
    health = patiently(
        lambda: stack.request("GET", f"{BASE}/health").json, lambda health: health["status"] != "healthy"
    )
    assert health["status"] == "healthy", "the last sweep may have been held up, the next ones are not"


def test_what_came_late_goes_by_the_order_that_the_delete_put_into_the_queue(
    stack: Stack, key: str, ended: Ended
) -> None:
    give_up, pause = time.monotonic() + 840, threading.Event()  # five tries, six minutes after each that failed
    while ended.life in ended.lives() and time.monotonic() < give_up:
        pause.wait(1)  # the order comes after a minute
    assert ended.life not in ended.lives()
    assert len(stack.request("GET", f"{ended.kept}/messages", key=key).json["messages"]) == 2
    dead = {"QueueUrl": stack.outputs["EraserDeadLetterQueueUrl"]}
    assert "Messages" not in stack.cloud.client("sqs").receive_message(**dead)


@pytest.fixture(scope="module", params=FUNCTIONS)
def runtime(request: pytest.FixtureRequest, stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A built function in Lambda's runtime interface emulator, with the stack's tables; one invocation at a time."""
    function: str = request.param
    folder = BUILD / function
    layers = [BUILD / "DomainLayer" / "python", BUILD / "DependenciesLayer" / "python"]
    port = free_port()
    (emulator,) = (SAM.parent / "lib").glob(f"python3.*/site-packages/samcli/local/rapid/*{_processor()}")
    program = tmp_path_factory.mktemp("rie") / "emulator"
    program.write_bytes(emulator.read_bytes())
    program.chmod(0o755)
    settings = Deployment(AmazonCaBundle="off").environment(function) | {
        "SESSIONS_TABLE": stack.outputs["SessionsTableName"],
        "MESSAGES_TABLE": stack.outputs["MessagesTableName"],
        "AGENT_POLICIES_TABLE": stack.outputs["AgentPoliciesTableName"],
        "ERASER_QUEUE_URL": stack.outputs["EraserDeadLetterQueueUrl"],
        "MESSAGE_EVENTS_DEAD_LETTERS_URL": stack.outputs["MessagePublisherDeadLetterQueueUrl"],
        "API_KEYS_TABLE": stack.outputs["ApiKeysTableName"],
        "EVENTS_TOPIC_ARN": stack.outputs["SessionEventsTopicArn"],
        "PYTHONPATH": ":".join(map(str, [folder, *layers, LAMBDA_RUNTIME])),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LAMBDA_TASK_ROOT": str(folder),
        "AWS_LAMBDA_FUNCTION_NAME": function,
        "AWS_LAMBDA_FUNCTION_TIMEOUT": "120",
    }
    addresses = [f"127.0.0.1:{port}", "--runtime-api-address", f"127.0.0.1:{free_port()}"]
    command: list[str | Path] = [program, "--log-level", "info", "--runtime-interface-emulator-address", *addresses]
    command += [SAM / "python", "-S", "-m", "awslambdaric", "app.handler"]
    with running(command, port, stack.cloud.environment | settings, folder):

        def invoke(event: Any) -> Any:
            connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
            try:
                connection.request("POST", "/2015-03-31/functions/function/invocations", json.dumps(event))
                return Answer.of(connection.getresponse()).json
            finally:
                connection.close()

        yield function, invoke


def _processor() -> str:
    return {"aarch64": "arm64"}.get(platform.machine(), platform.machine())


def test_the_built_function_answers_its_sample_events_under_lambdas_own_runtime_client(runtime: Any) -> None:
    function, invoke = runtime
    meant = [name for name in EVENTS if function_of(name) == function]
    for name in meant:
        check(name, patiently(partial(invoke, EVENTS[name]), refuses))
    if function == "ExpirySweeperFunction":
        check("sweep", patiently(partial(invoke, {}), refuses))
