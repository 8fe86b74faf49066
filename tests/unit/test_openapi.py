"""docs/openapi.json: current, valid, and true of what the handler answers."""

import inspect
import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from agent_sessions.api.edge import STATUS
from agent_sessions.erasure.ports import Erasure, user_hash
from agent_sessions.erasure.receipt import user_erased_event
from agent_sessions.errors import SessionServiceError
from agent_sessions.events.cloud_events import EventKind, session_event
from agent_sessions.events.stream import message_events
from jsonschema import Draft202012Validator, ValidationError
from openapi_spec_validator import validate
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from tests.engines import faults
from tests.store_suite.examples import a_session
from tests.unit.world import AGENT, AGENTS, BASE, ERASURES, NOWHERE, STATUS_OF_CODE, USER, Answer, World, sample
from tools import openapi

DOCUMENT: Any = json.loads(openapi.DOCUMENT.read_text("utf-8"))
OPERATIONS = {
    operation["operationId"]: operation
    for item in DOCUMENT["paths"].values()
    for verb, operation in item.items()
    if verb != "parameters"
}
REGISTRY: Registry = Registry().with_resource("doc", DRAFT202012.create_resource(DOCUMENT))


@cache
def validator(pointer: str) -> Draft202012Validator:
    return Draft202012Validator(
        {"$ref": f"doc#{pointer}"}, registry=REGISTRY, format_checker=Draft202012Validator.FORMAT_CHECKER
    )


def resolved(value: Any) -> Any:
    """What a reference within the document stands for."""
    while "$ref" in value:
        found: Any = DOCUMENT
        for part in value["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        value = found
    return value


def schema_of(response: Any) -> Draft202012Validator:
    """What checks the body of an answer."""
    schema = json.dumps(resolved(response)["content"]["application/json"]["schema"])
    return Draft202012Validator(
        json.loads(schema.replace('"#/', '"doc#/')),
        registry=REGISTRY,
        format_checker=Draft202012Validator.FORMAT_CHECKER,
    )


# --- the document itself


def test_the_committed_document_is_current() -> None:
    assert openapi.DOCUMENT.read_text("utf-8") == openapi.text(), "run `make openapi`"


def test_the_document_is_valid() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    validate(DOCUMENT)


def test_statuses_and_meanings_are_those_of_the_error_tree() -> None:
    for kind, status in STATUS.items():
        if kind.code in {parent.code for parent in kind.__mro__[1:] if issubclass(parent, SessionServiceError)}:
            continue  # its parent explains the code
        name = "".join(word.title() for word in kind.code.split("_"))
        meaning = str(inspect.getdoc(kind)).splitlines()[0]
        assert DOCUMENT["components"]["responses"][name]["description"].startswith(f"`{kind.code}`: {meaning}")
        assert DOCUMENT["components"]["schemas"][f"{name}Answer"]["description"] == meaning
        assert STATUS_OF_CODE[kind.code] == status


def test_every_reference_leads_somewhere_and_nothing_is_left_over() -> None:
    refs: set[str] = set()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if "$ref" in value:
                refs.add(value["$ref"])
                resolved(value)
            for entry in value.values():
                walk(entry)
        elif isinstance(value, list):
            for entry in value:
                walk(entry)

    walk(DOCUMENT)
    defined = {
        f"#/components/{kind}/{name}"
        for kind, entries in DOCUMENT["components"].items()
        if kind != "securitySchemes"
        for name in entries
    }
    answers_of_no_operation = {
        f"#/components/responses/{name}" for name in ("MethodNotAllowed", "RouteNotFound", "MessageNotFound")
    }
    assert defined - refs == answers_of_no_operation


def examples() -> Iterator[tuple[str, Any, Any]]:
    """Every example with the schema it stands beside."""
    responses = {
        f"{name} {status}": response
        for name, operation in OPERATIONS.items()
        for status, response in operation["responses"].items()
    } | DOCUMENT["components"]["responses"]
    bodies = {
        f"{name} body": operation["requestBody"] for name, operation in OPERATIONS.items() if "requestBody" in operation
    }
    for name, response in (responses | bodies).items():
        for example in resolved(response)["content"]["application/json"]["examples"].values():
            yield name, response, resolved(example)["value"]


@pytest.mark.parametrize("response, example", [pytest.param(r, e, id=name) for name, r, e in examples()])
def test_every_example_is_one(response: Any, example: Any) -> None:
    schema_of(response).validate(example)


# --- what the handler answers


def gone(world: World) -> str:
    return NOWHERE


def live(world: World) -> str:
    return str(world.new()["sessionId"])


def expired(world: World) -> str:
    session_id = live(world)
    world.clock.advance(minutes=30)
    return session_id


def capped(world: World) -> str:
    return str(world.new(maxDurationMinutes=30)["sessionId"])


def expired_with_key(world: World) -> str:
    world.call("create-idempotent")
    world.clock.advance(minutes=30)
    return NOWHERE


def repeat(world: World) -> str:
    world.call("create-idempotent")
    return NOWHERE


def throttled(world: World) -> str:
    world.dynamo.add_hook(faults.throttle(None))
    return NOWHERE


def broken(world: World) -> str:
    world.dynamo.add_hook(faults.fail(None, "ValidationException"))
    return NOWHERE


def crowded(world: World) -> str:
    for number in range(3):
        world.create(metadata={"n": [number, 1.5, None, {"ü": "😀"}]})
    return NOWHERE


def said(world: World, session_id: str) -> str:
    """The id of a message of the session, where it takes one."""
    answer = world.say(session_id)
    return str(answer.json["message"]["id"]) if answer.status == 201 else NOWHERE


def talked_in(world: World) -> str:
    session_id = live(world)
    question = said(world, session_id)
    world.clock.advance(1_000)
    world.say(session_id, "So.", role="agent", inReplyTo=question, parts=[{"type": "text"}], attachments=[{"url": "x"}])
    return session_id


Ask = Callable[[World, str], Answer]
ASK: dict[str, Ask] = {
    "createSession": lambda world, _: world.call("create-full"),
    "listSessions": lambda world, _: world.page(limit="2"),
    "checkHealth": lambda world, _: world.health(),
    "getSession": World.get,
    "deleteSession": World.delete,
    "heartbeat": World.heartbeat,
    "renewSession": World.renew,
    "patchTimeout": World.patch,
    "patchMetadata": World.patch_metadata,
    "listAgentPolicies": lambda world, _: world.policies(limit="1"),
    "getAgentPolicy": lambda world, _: world.policy(),
    "putAgentPolicy": lambda world, _: world.put_policy(),
    "deleteAgentPolicy": lambda world, _: world.delete_policy(),
    "sendMessage": World.say,
    "sendMessageBatch": World.post_batch,
    "getMessages": World.messages,
    "getMessage": lambda world, it: world.message(it, said(world, it)),
    "redactMessages": World.redact,
    "redactMessage": lambda world, it: world.redact(it, said(world, it)),
    "exportSession": World.export,
    "eraseUser": lambda world, _: world.erase(),
    "getErasure": lambda world, it: world.erasure(it),
}
PATHS = {
    "createSession": BASE,
    "listSessions": BASE,
    "checkHealth": f"{BASE}/health",
    "getSession": f"{BASE}/{{sessionId}}",
    "deleteSession": f"{BASE}/{{sessionId}}",
    "heartbeat": f"{BASE}/{{sessionId}}/heartbeat",
    "renewSession": f"{BASE}/{{sessionId}}/renew",
    "patchTimeout": f"{BASE}/{{sessionId}}/timeout",
    "patchMetadata": f"{BASE}/{{sessionId}}",
    "listAgentPolicies": AGENTS,
    "getAgentPolicy": f"{AGENTS}/{{agentId}}/session-policy",
    "putAgentPolicy": f"{AGENTS}/{{agentId}}/session-policy",
    "deleteAgentPolicy": f"{AGENTS}/{{agentId}}/session-policy",
    "sendMessage": f"{BASE}/{{sessionId}}/messages",
    "sendMessageBatch": f"{BASE}/{{sessionId}}/messages/batch",
    "getMessages": f"{BASE}/{{sessionId}}/messages",
    "getMessage": f"{BASE}/{{sessionId}}/messages/{{messageId}}",
    "redactMessages": f"{BASE}/{{sessionId}}/messages",
    "redactMessage": f"{BASE}/{{sessionId}}/messages/{{messageId}}",
    "exportSession": f"{BASE}/{{sessionId}}/export",
    "eraseUser": ERASURES,
    "getErasure": f"{ERASURES}/{{erasureId}}",
}


EVENT = {
    "createSession": "create-full",
    "listSessions": "list",
    "getSession": "get",
    "deleteSession": "delete",
    "heartbeat": "heartbeat",
    "renewSession": "renew",
    "patchTimeout": "patch",
    "patchMetadata": "patch-metadata",
    "listAgentPolicies": "policy-list",
    "getAgentPolicy": "policy-get",
    "putAgentPolicy": "policy-put",
    "deleteAgentPolicy": "policy-delete",
    "sendMessage": "message-post",
    "sendMessageBatch": "message-batch",
    "getMessages": "message-list",
    "getMessage": "message-get",
    "redactMessages": "message-delete",
    "redactMessage": "message-delete",
    "exportSession": "export",
    "eraseUser": "erasure",
    "getErasure": "erasure-get",
}


def without_tenant(name: str) -> Ask:
    return lambda world, _: world.call(EVENT[name], tenant=None)


def without_scope(name: str) -> Ask:
    return lambda world, _: world.call(EVENT[name], scope="none")


KEY = {"idempotency-key": "k"}
OTHER_VERSION = '"0123456789abcdef"'


def at_its_limit(world: World) -> str:
    world.restart(MESSAGES_PER_SESSION="1")
    session_id = live(world)
    world.say(session_id)
    return session_id


def emptied(world: World) -> str:
    session_id = live(world)
    world.say(session_id, headers=KEY)
    assert world.redact(session_id).json["data"]["redacted"] == 1
    return session_id


def first_of(world: World, session_id: str) -> str:
    return str(world.messages(session_id).json["messages"][0]["id"])


def with_policies(world: World) -> str:
    world.put_policy()
    world.put_policy({"warningThresholdMinutes": 7.5}, NOWHERE)
    return NOWHERE


def forbidden(world: World) -> str:
    world.put_policy({"allowed": False})
    return NOWHERE


POLICY_OPERATIONS = ["listAgentPolicies", "getAgentPolicy", "putAgentPolicy", "deleteAgentPolicy"]
KEYED = [name for name in ASK if name != "checkHealth"]
BY_ID = ["getSession", "deleteSession", "heartbeat", "renewSession", "patchTimeout", "patchMetadata"]
CASES: list[tuple[str, str, Callable[[World], str], Ask]] = [
    ("createSession", "201", gone, ASK["createSession"]),
    ("createSession", "201", gone, lambda world, _: world.call("create-minimal")),
    ("createSession", "200", repeat, lambda world, _: world.call("create-idempotent")),
    ("createSession", "400", gone, lambda world, _: world.call("create-invalid")),
    ("createSession", "400", gone, lambda world, _: world.post_raw("{")),
    ("createSession", "400", gone, lambda world, _: world.create(key="", agentId=["x" * 200], userId={"a": 1.5})),
    ("createSession", "410", expired_with_key, lambda world, _: world.call("create-idempotent")),
    ("createSession", "413", gone, lambda world, _: world.post_raw(" " * 70_000)),
    ("createSession", "422", repeat, lambda world, _: world.create(key="checkout-7d1f0c9a", metadata={"other": 1})),
    ("listSessions", "200", gone, lambda world, _: world.page()),
    ("listSessions", "200", crowded, ASK["listSessions"]),
    ("listSessions", "400", gone, lambda world, _: world.page(limit="0", userId="x", cursor="y")),
    ("checkHealth", "200", gone, ASK["checkHealth"]),
    ("checkHealth", "503", throttled, ASK["checkHealth"]),
    *[(name, "200", live, ASK[name]) for name in BY_ID],
    *[(name, "404", gone, ASK[name]) for name in BY_ID],
    *[(name, "410", expired, ASK[name]) for name in BY_ID if name != "deleteSession"],
    *[(name, "401", gone, without_tenant(name)) for name in KEYED],
    *[(name, "403", gone, without_scope(name)) for name in KEYED],
    *[(name, "503", throttled, ASK[name]) for name in KEYED],
    *[(name, "500", broken, ASK[name]) for name in KEYED],
    ("renewSession", "422", capped, ASK["renewSession"]),
    ("patchTimeout", "400", live, lambda world, it: world.patch(it, {"timeoutMinutes": None, "autoRenew": 3})),
    ("patchTimeout", "413", live, lambda world, it: world.patch(it, raw=" " * 70_000)),
    ("patchMetadata", "400", live, lambda world, it: world.patch_metadata(it, None, headers={"if-match": "x"})),
    ("patchMetadata", "412", live, lambda world, it: world.patch_metadata(it, {}, headers={"if-match": OTHER_VERSION})),
    ("patchMetadata", "413", live, lambda world, it: world.patch_metadata(it, raw=" " * 70_000)),
    ("createSession", "404", forbidden, ASK["createSession"]),
    *[(name, "200", with_policies, ASK[name]) for name in POLICY_OPERATIONS],
    ("getAgentPolicy", "200", forbidden, ASK["getAgentPolicy"]),
    ("getAgentPolicy", "404", gone, ASK["getAgentPolicy"]),
    ("deleteAgentPolicy", "404", gone, ASK["deleteAgentPolicy"]),
    ("listAgentPolicies", "400", gone, lambda world, _: world.policies(limit="0", cursor="x")),
    ("getAgentPolicy", "400", gone, lambda world, _: world.policy("x")),
    ("deleteAgentPolicy", "400", gone, lambda world, _: world.delete_policy("x")),
    ("putAgentPolicy", "400", gone, lambda world, _: world.put_policy({"timeoutMinutes": {"min": None}})),
    ("putAgentPolicy", "413", gone, lambda world, _: world.put_policy(raw=" " * 70_000)),
    ("sendMessage", "201", live, ASK["sendMessage"]),
    ("sendMessage", "201", talked_in, lambda world, it: world.say(it, role="tool", transport="http")),
    ("sendMessage", "200", live, lambda world, it: [world.say(it, headers=KEY) for _ in range(2)][1]),
    ("sendMessage", "400", live, lambda world, it: world.say(it, role="x", parts=5, inReplyTo="x")),
    ("sendMessage", "404", gone, ASK["sendMessage"]),
    ("sendMessage", "410", expired, ASK["sendMessage"]),
    ("sendMessage", "412", live, lambda world, it: world.say(it, headers={"if-match": '"1"'})),
    ("sendMessage", "413", live, lambda world, it: world.post_message(it, raw=" " * 140_000)),
    ("sendMessage", "422", live, lambda world, it: [world.say(it, text, headers=KEY) for text in "ab"][1]),
    ("sendMessage", "429", at_its_limit, ASK["sendMessage"]),
    ("sendMessageBatch", "201", live, ASK["sendMessageBatch"]),
    ("sendMessageBatch", "200", live, lambda world, it: [world.post_batch(it, headers=KEY) for _ in range(2)][1]),
    ("sendMessageBatch", "400", live, lambda world, it: world.post_batch(it, [{"content": 5}, 5])),
    ("sendMessageBatch", "404", gone, ASK["sendMessageBatch"]),
    ("sendMessageBatch", "410", expired, ASK["sendMessageBatch"]),
    ("sendMessageBatch", "412", live, lambda world, it: world.post_batch(it, headers={"if-match": '"1"'})),
    ("sendMessageBatch", "413", live, lambda world, it: world.post_batch(it, raw=" " * 1_048_577)),
    (
        "sendMessageBatch",
        "422",
        live,
        lambda world, it: [world.post_batch(it, [{"content": text}], headers=KEY) for text in "ab"][1],
    ),
    ("sendMessageBatch", "429", at_its_limit, ASK["sendMessageBatch"]),
    ("getMessages", "200", live, ASK["getMessages"]),
    ("getMessages", "200", talked_in, ASK["getMessages"]),
    ("getMessages", "400", live, lambda world, it: world.messages(it, limit=0, before="x", order="up")),
    ("getMessages", "404", gone, ASK["getMessages"]),
    ("getMessages", "410", expired, ASK["getMessages"]),
    ("getMessage", "200", live, ASK["getMessage"]),
    ("getMessage", "400", live, lambda world, it: world.message(it, NOWHERE, query={"expired": "x"})),
    ("getMessage", "404", gone, ASK["getMessage"]),
    ("getMessage", "404", live, lambda world, it: world.message(it, NOWHERE)),
    ("getMessage", "410", expired, ASK["getMessage"]),
    ("getMessages", "200", emptied, ASK["getMessages"]),
    ("getMessage", "200", emptied, lambda world, it: world.message(it, first_of(world, it))),
    ("sendMessage", "200", emptied, lambda world, it: world.say(it, headers=KEY)),
    ("redactMessages", "200", talked_in, ASK["redactMessages"]),
    ("redactMessages", "404", gone, ASK["redactMessages"]),
    ("redactMessage", "200", live, ASK["redactMessage"]),
    ("redactMessage", "404", gone, ASK["redactMessage"]),
    ("redactMessage", "404", live, lambda world, it: world.redact(it, NOWHERE)),
    ("exportSession", "200", emptied, ASK["exportSession"]),
    ("exportSession", "200", talked_in, ASK["exportSession"]),
    ("exportSession", "400", live, lambda world, it: world.export(it, query={"cursor": "x", "expired": "y"})),
    ("exportSession", "404", gone, ASK["exportSession"]),
    ("exportSession", "410", expired, ASK["exportSession"]),
    ("eraseUser", "202", live, ASK["eraseUser"]),
    ("eraseUser", "400", gone, lambda world, _: world.erase("me")),
    ("eraseUser", "413", gone, lambda world, _: world.call("erasure", raw=" " * 70_000)),
    ("getErasure", "200", gone, lambda world, _: world.erasure(world.erase().json["erasureId"])),
    ("getErasure", "404", gone, ASK["getErasure"]),
]


@pytest.mark.parametrize("name, status, prepare, ask", CASES, ids=[f"{case[0]} {case[1]}" for case in CASES])
def test_what_the_handler_answers_is_what_the_document_says(
    world: World, name: str, status: str, prepare: Callable[[World], str], ask: Ask
) -> None:
    answer = ask(world, prepare(world))
    assert str(answer.status) == status
    response = resolved(OPERATIONS[name]["responses"][status])
    schema_of(response).validate(answer.json)
    assert set(answer.headers) - {"content-type"} == set(response["headers"]) - {"apigw-requestid"}
    for header, value in answer.headers.items():
        if header != "content-type":
            Draft202012Validator(resolved(response["headers"][header])["schema"]).validate(value)


def test_every_answer_in_the_document_that_is_ours_was_looked_at() -> None:
    ours = {
        (name, status)
        for name, operation in OPERATIONS.items()
        for status, response in operation["responses"].items()
        if "x-request-id" in resolved(response)["headers"]
    }
    assert {(name, status) for name, status, _, _ in CASES} == ours - {("checkHealth", "500")}


def test_the_paths_are_those_of_the_handler(world: World) -> None:
    assert set(DOCUMENT["paths"]) == set(PATHS.values())
    for path, item in DOCUMENT["paths"].items():
        answer = world.call("get", method="OPTIONS", path=re.sub(r"\{\w+\}", NOWHERE, path))
        verbs = {verb.upper() for verb in item if verb != "parameters"}
        assert set(answer.headers["allow"].split(", ")) - {"HEAD", "OPTIONS"} == verbs


def test_a_wrong_verb_and_a_wrong_path_are_answered_as_the_document_says(world: World) -> None:
    for name, answer in (
        ("MethodNotAllowed", world.call("get", method="PUT", path=BASE)),
        ("RouteNotFound", world.call("get", path="/nowhere")),
    ):
        response = DOCUMENT["components"]["responses"][name]
        schema_of(response).validate(answer.json)
        assert set(answer.headers) - {"content-type"} == set(response["headers"])


# --- what may be sent


def fits(schema: str, body: Any) -> bool:
    return bool(validator(f"/components/schemas/{schema}").is_valid(body))


VALID = {"agentId": AGENT, "userId": USER}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"metadata": None},
        {"timeoutConfig": None},
        {"timeoutConfig": {"timeoutMinutes": 1440}},
        {"timeoutConfig": {"timeoutMinutes": 7.5, "autoRenew": False}},
        {"unknown": 1},
        {"agentId": "x"},
        {"metadata": []},
        {"timeoutConfig": {"timeoutMinutes": 4.999}},
        {"timeoutConfig": {"timeoutMinutes": 1440.001}},
        {"timeoutConfig": {"timeoutMinutes": None}},
        {"timeoutConfig": {"autoRenew": None}},
        {"timeoutConfig": {"maxDurationMinutes": 2880.5}},
        {"timeoutConfig": {"warningThresholdMinutes": 0.5}},
        {"timeoutMinutes": 30},
        {"autoRenew": None},
    ],
    ids=json.dumps,
)
def test_the_document_and_the_handler_agree_on_what_may_be_sent(world: World, changes: dict[str, Any]) -> None:
    body = VALID | changes
    assert fits("CreateSession", body) == (world.post(body).status == 201)


@pytest.mark.parametrize("with_content", [False, True])
def test_the_webhook_of_a_message_is_its_event(*, with_content: bool) -> None:
    for record in sample("stream-messages")["Records"]:
        event = message_events("/agent-sessions/tests", with_content=with_content)(record)
        assert event is not None
        schema_of(DOCUMENT["webhooks"]["messageCreated"]["post"]["requestBody"]).validate(json.loads(event.body))


@pytest.mark.parametrize(
    "name, kind",
    [
        ("sessionCreated", "created"),
        ("sessionExpiring", "expiring"),
        ("sessionExpired", "expired"),
        ("sessionEnded", "ended"),
    ],
)
def test_what_subscribers_receive_is_what_the_webhooks_say(name: str, kind: EventKind) -> None:
    session = a_session(agent_id=AGENT, user_id=USER)
    body = json.loads(session_event(kind, session, session.expires_at_ms - 1_000, "/agent-sessions/tests").body)
    schema_of(DOCUMENT["webhooks"][name]["post"]["requestBody"]).validate(body)
    with pytest.raises(ValidationError):
        schema_of(DOCUMENT["webhooks"][name]["post"]["requestBody"]).validate(body | {"type": "another"})


def test_what_is_published_of_an_erased_user_is_what_the_webhook_says() -> None:
    erasure = Erasure(NOWHERE, "acme", "", user_hash(USER), 1, sessions=2, digest=3, finished_at_ms=60_001)
    body = json.loads(user_erased_event(erasure, "/agent-sessions/tests").body)
    schema_of(DOCUMENT["webhooks"]["userErased"]["post"]["requestBody"]).validate(body)


def test_no_header_or_id_is_filled_in_with_a_value_that_works_once_or_never() -> None:
    assert [name for name, parameter in DOCUMENT["components"]["parameters"].items() if "example" in parameter] == []


def test_every_operation_has_one_of_the_tags() -> None:
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    used = [item["tags"] for path in DOCUMENT["paths"].values() for item in path.values() if isinstance(item, dict)]
    assert all(len(each) == 1 and set(each) <= tags for each in used)
