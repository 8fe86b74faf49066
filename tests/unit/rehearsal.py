"""One run of everything that the functions do, in memory and under the environment that the template gives them.

It writes down each call to AWS and each line printed, for tests of what the template allows and watches.
"""

import io
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from typing import Any, Final
from unittest import mock

from agent_sessions.bootstrap import callers, wiring
from agent_sessions.erasure.service import ORDER_MS

from functions.api_key_authorizer import app as api_key_authorizer
from functions.eraser import app as eraser
from functions.expiry_sweeper import app as expiry_sweeper
from functions.message_publisher import app as message_publisher
from functions.session_api import app as session_api
from functions.session_messages import app as session_messages
from tests.engines.fake_dynamo import FakeDynamo
from tests.engines.fake_queue import FakeQueue
from tests.engines.fake_sns import FakeSns
from tests.engines.faults import Hook, Kill, Killed
from tests.engines.tables import (
    create_agent_policies_table,
    create_api_keys_table,
    create_messages_table,
    create_sessions_table,
)
from tests.template_reader import Deployment
from tests.unit.world import AGENT, BASE, USER, MovableClock, gateway_event

SHARDS: Final = 2


@dataclass(frozen=True)
class Call:
    """One call to AWS as IAM sees it."""

    action: str
    resource: str


@dataclass
class Notes:
    """What one function did."""

    calls: list[Call] = field(default_factory=list)
    operations: set[str] = field(default_factory=set)
    printed: io.StringIO = field(default_factory=io.StringIO)

    @property
    def metrics(self) -> dict[str, set[frozenset[str]]]:
        """The metrics in the embedded metric format: namespace and name, and each set of dimensions they came with."""
        found: dict[str, set[frozenset[str]]] = {}
        for line in self.printed.getvalue().splitlines():
            for directive in json.loads(line).get("_aws", {}).get("CloudWatchMetrics", []):
                for metric in directive["Metrics"]:
                    name = f"{directive['Namespace']}/{metric['Name']}"
                    found.setdefault(name, set()).update(map(frozenset, directive["Dimensions"]))
        return found


class Rehearsal:
    """The deployment, with its services in memory."""

    def __init__(self) -> None:
        self.deployment = Deployment(DueShards=str(SHARDS), SweepFanOut=str(SHARDS))
        self.notes = {name: Notes() for name in self.deployment.of_type("AWS::Lambda::Function")}
        self.clock = MovableClock()
        self.dynamo = FakeDynamo(self.clock)
        self._sns = FakeSns(self.clock)
        self.queue = FakeQueue(self.clock)
        create_sessions_table(self.dynamo.as_client(), "SessionsTable")
        create_messages_table(self.dynamo.as_client(), "MessagesTable")
        create_agent_policies_table(self.dynamo.as_client(), "AgentPoliciesTable")
        create_api_keys_table(self.dynamo.as_client(), "ApiKeysTable")
        self._serve_callers()
        self._carry_messages()
        self._publish_messages()
        self._erase()
        self._sweep()
        self._erase_a_user()
        self._ask_the_authorizer()

    def _serve_callers(self) -> None:
        with self._function("SessionApiFunction", session_api.handler) as send:

            def call(name: str, **changes: Any) -> Any:
                response = send(gateway_event(name, **changes))
                assert response["statusCode"] < 300, response
                return json.loads(response["body"])

            ids = [call("create-minimal")["sessionId"] for _ in range(4)]
            call("create-idempotent")
            call("create-idempotent")
            call("get", path=f"{BASE}/{ids[0]}")
            call("heartbeat", path=f"{BASE}/{ids[0]}/heartbeat")
            call("renew", path=f"{BASE}/{ids[0]}/renew")
            call("patch", path=f"{BASE}/{ids[0]}/timeout")
            call("patch-metadata", path=f"{BASE}/{ids[0]}")
            call("delete", path=f"{BASE}/{ids[0]}")
            first = call("list", query={"limit": "1"})
            call("list", query={"limit": "1", "cursor": first["nextCursor"]})
            call("list", query={"userId": USER, "agentId": AGENT})
            call("policy-put")
            call("policy-get")
            call("policy-list")
            call("policy-delete")
            call("health")
            self.clock.advance(minutes=20)
            call("heartbeat", path=f"{BASE}/{ids[1]}/heartbeat")

    def _carry_messages(self) -> None:
        with self._function("SessionApiFunction", session_api.handler, unseen=True) as send:
            session_id = json.loads(send(gateway_event("create-minimal"))["body"])["sessionId"]
        with self._function("SessionMessagesFunction", session_messages.handler) as send:
            path = f"{BASE}/{session_id}/messages"

            def call(name: str, **changes: Any) -> Any:
                response = send(gateway_event(name, path=path, **changes))
                assert response["statusCode"] < 300, response
                return json.loads(response["body"])

            call("message-post")
            dying = self.dynamo.add_hook(Kill(3, "before", "put_item"))  # the key's record is there, its message is not
            for role in ("system", "tool"):
                call("message-post", body={"content": "x", "role": role})
            with suppress(Killed):
                call("message-keyed")
            self.dynamo.remove_hook(dying)
            self.clock.advance(minutes=1)
            assert call("message-list", query={"afterSequence": "0"})["skipped"] == [4]
            call("message-keyed")
            call("message-wait")
            path += "/batch"
            call("message-batch")
            path = f"{BASE}/{session_id}/messages"
            call("message-list", query={"before": str(self.clock.now_ms())})
            first = call("message-list", query={"limit": "1", "order": "asc"})["messages"][0]["id"]
            for page in (f"{BASE}/{session_id}/export", f"{path}/{first}"):
                path = page
                call("message-get")
            call("message-delete")
            path = f"{BASE}/{session_id}/messages"
            call("message-delete")

    def _publish_messages(self) -> None:
        records = self.dynamo.stream_records("MessagesTable")
        unreadable = {"eventName": "INSERT", "dynamodb": {"SequenceNumber": "1", "NewImage": {}}}
        with self._function("MessagePublisherFunction", message_publisher.handler) as send:
            assert send({"Records": [unreadable, *records]}) == {"batchItemFailures": []}

    def _erase(self) -> None:
        with self._function("SessionApiFunction", session_api.handler) as send:
            session_id = json.loads(send(gateway_event("create-minimal"))["body"])["sessionId"]
        with self._function("SessionMessagesFunction", session_messages.handler, unseen=True) as post:
            post(gateway_event("message-post", path=f"{BASE}/{session_id}/messages"))
        with self._function("SessionApiFunction", session_api.handler) as send:
            ended = send(gateway_event("delete", path=f"{BASE}/{session_id}"))
            assert json.loads(ended["body"])["data"]["messagesDeleted"] == 1
        life = f"{session_id}#{'00' * 8}"
        for number in range(30):
            item: Any = {"life": {"S": life}, "seq": {"N": str(number + 1)}}
            self.dynamo.put_item(TableName="MessagesTable", Item=item)
        order = json.dumps({"kind": "life", "sessionId": session_id, "life": life})
        with self._function("EraserFunction", eraser.handler) as send:
            slow = self.dynamo.add_hook(Takes(self.clock, ORDER_MS))  # the rest of the order is sent on
            assert send({"Records": [{"messageId": "1", "body": order}]}) == {"batchItemFailures": []}
            self.dynamo.remove_hook(slow)
        assert self.queue.waiting

    def _erase_a_user(self) -> None:
        """One session is there before the request, and one is made in the same millisecond, after the first pass."""
        with self._function("SessionApiFunction", session_api.handler) as send:
            send(gateway_event("create-minimal"))
            answer = send(gateway_event("erasure"))
            location = answer["headers"]["location"]
            assert send(gateway_event("get", path=location))["statusCode"] == 200
        order = json.dumps({"kind": "user", "erasureId": location.rpartition("/")[2]})
        with self._function("SessionApiFunction", session_api.handler, unseen=True) as send:
            session_id = json.loads(send(gateway_event("create-minimal"))["body"])["sessionId"]
        with self._function("SessionMessagesFunction", session_messages.handler, unseen=True) as post:
            post(gateway_event("message-post", path=f"{BASE}/{session_id}/messages"))
        with self._function("EraserFunction", eraser.handler) as send:
            for _ in range(2):  # one pass that finds the session, and one that finds nothing
                self.clock.advance(minutes=1)
                assert send({"Records": [{"messageId": "1", "body": order}]}) == {"batchItemFailures": []}
        with self._function("SessionApiFunction", session_api.handler, unseen=True) as send:
            send(gateway_event("create-minimal"))

    def _sweep(self) -> None:
        with self._function("ExpirySweeperFunction", expiry_sweeper.handler) as send:
            send({})
            for minutes in (6, 4, 1):  # re-arms and warnings, then expiries
                self.clock.advance(minutes=minutes)
                send({"shards": list(range(SHARDS))})
            send({"pass": "gauge"})

    def _ask_the_authorizer(self) -> None:
        with self._function("ApiKeyAuthorizerFunction", api_key_authorizer.handler, unseen=True):
            key = callers.api_keys().create("acme", "rehearsal", lifetime_ms=60_000).text
        with self._function("ApiKeyAuthorizerFunction", api_key_authorizer.handler) as send:
            event = gateway_event("get", headers={"x-api-key": key})
            assert send(event | {"type": "REQUEST", "identitySource": [key]})["isAuthorized"]

    @contextmanager
    def _function(
        self, name: str, handler: Callable[[dict[str, Any], object], Any], *, unseen: bool = False
    ) -> Iterator[Callable[[dict[str, Any]], Any]]:
        notes = Notes() if unseen else self.notes[name]
        environment = self.deployment.environment(name) | {"AWS_LAMBDA_FUNCTION_NAME": name}
        clients = {
            "dynamodb": _Noted(self.dynamo, "dynamodb", self.deployment, notes),
            "sns": _Noted(self._sns, "sns", self.deployment, notes),
            "sqs": _Noted(self.queue, "sqs", self.deployment, notes),
            "lambda": _Noted(mock.Mock(), "lambda", self.deployment, notes),
        }
        powertools = {key: value for key, value in environment.items() if key.startswith("POWERTOOLS_")}
        with mock.patch.dict(os.environ, powertools), redirect_stdout(notes.printed):
            wiring.wire(wiring.Wiring(environment, self.clock, clients))
            yield lambda event: handler(event, None)


class Takes(Hook):
    """Lets each batch of deletes take its time."""

    def __init__(self, clock: MovableClock, takes_ms: int) -> None:
        self._clock, self._takes_ms = clock, takes_ms

    def after(self, call: str, request: object, response: object) -> None:
        if call == "batch_write_item":
            self._clock.advance(self._takes_ms)


class _Noted:
    """A client that writes down what it is asked for."""

    def __init__(self, client: object, service: str, deployment: Deployment, notes: Notes) -> None:
        self._client = client
        self._service = service
        self._deployment = deployment
        self._notes = notes

    def __getattr__(self, operation: str) -> Any:
        method = getattr(self._client, operation)

        def call(**request: Any) -> Any:
            self._notes.operations.add(operation)
            self._notes.calls += self._as_iam_sees_it(operation, request)
            return method(**request)

        return call

    def _as_iam_sees_it(self, operation: str, request: Mapping[str, Any]) -> Iterator[Call]:
        action = "".join(word.capitalize() for word in operation.split("_"))
        match operation:
            case "publish_batch":
                yield Call("sns:Publish", request["TopicArn"])
            case "send_message":
                yield Call("sqs:SendMessage", self._deployment.arn(request["QueueUrl"]))
            case "transact_write_items":
                for entry in request["TransactItems"]:
                    ((kind, one),) = entry.items()
                    yield Call(f"dynamodb:{kind}Item", self._deployment.arn(one["TableName"]))
            case "batch_get_item" | "batch_write_item":
                for table in request["RequestItems"]:
                    yield Call(f"dynamodb:{action}", self._deployment.arn(table))
            case "invoke":
                yield Call("lambda:InvokeFunction", self._deployment.arn(request["FunctionName"]))
            case "batch_execute_statement":
                for statement in request["Statements"]:
                    verb, table = re.match(r'(\w+) "([^"]+)"', statement["Statement"]).groups()  # type: ignore[union-attr]
                    yield Call(f"dynamodb:PartiQL{verb.capitalize()}", self._deployment.arn(table))
            case _:
                index = f"/index/{request['IndexName']}" if "IndexName" in request else ""
                yield Call(f"dynamodb:{action}", self._deployment.arn(request["TableName"]) + index)
