"""An agent to start from: a queue of users' messages, each answered once, by a model of Amazon Bedrock or by an echo.

Put your agent into `answer`. It gets the conversation so far; what it returns is posted as the agent's message.
"""
# ruff: noqa: INP001 - a function's folder is a deployment unit, not a package

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final

import boto3

Json = Mapping[str, Any]

BASE_PATH: Final = "/api/messaging/sessions"
HISTORY: Final = 30
"""Messages that the model sees."""
LONGEST: Final = 32_000
"""Characters of an agent's message that the API takes."""
SECONDS: Final = 10


class ApiError(Exception):
    """The API refused a call."""

    def __init__(self, status: int, code: str) -> None:
        """Keep what it answered."""
        self.status = status
        self.code = code
        super().__init__(f"{status} {code}")


class SessionsApi:
    """The calls that an agent makes. They need a key with the scope `agent`."""

    def __init__(self, url: str, key: str) -> None:
        """Call the API at `url`."""
        self._url = url.rstrip("/") + BASE_PATH
        self._key = key

    def history(self, session_id: str) -> list[Any]:
        """Return the latest messages, oldest first."""
        page = self._call("GET", f"/{session_id}/messages?limit={HISTORY}")
        return list(page["messages"][::-1])

    def reply(self, session_id: str, body: Json, key: str) -> None:
        """Post the agent's message; of a repeat with the same `key` the API keeps the first."""
        self._call("POST", f"/{session_id}/messages", body, {"idempotency-key": key})

    def _call(
        self, method: str, path: str, body: Json | None = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        content = None if body is None else json.dumps(body).encode()
        sent = {"content-type": "application/json", "x-api-key": self._key, **(headers or {})}
        request = urllib.request.Request(self._url + path, content, sent, method=method)  # noqa: S310 - a parameter of the stack
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310 - the address is the setting's
                return _object(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                refusal = _object(error.read()).get("error", {})
            raise ApiError(error.code, str(refusal.get("code", ""))) from None


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def consume(batch: Json, api: SessionsApi, answer: Callable[[Sequence[Json]], str]) -> dict[str, Any]:
    """Answer the users' messages of a batch of SQS; name those that failed, which then come back on their own."""
    failures = []
    for record in batch["Records"]:
        try:
            reply_to(json.loads(record["body"]), api, answer)
        except Exception as failure:  # noqa: BLE001 - one message must not take the others back into the queue
            print(json.dumps({"message": "not answered", "messageId": record["messageId"], "why": repr(failure)}))  # noqa: T201
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}


def reply_to(event: Json, api: SessionsApi, answer: Callable[[Sequence[Json]], str]) -> None:
    """Answer the message of an event, once: the event's id is the key of the reply."""
    session_id, message_id = event["data"]["sessionId"], event["data"]["message"]["id"]
    try:
        history = api.history(session_id)
        if any(each["role"] == "agent" and each["inReplyTo"] == message_id for each in history):
            return  # the event came before
        content = answer(history)
        body = {"role": "agent", "content": content[:LONGEST], "inReplyTo": message_id}
        api.reply(session_id, body, event["id"])
    except ApiError as refused:
        if refused.status in {404, 410} or refused.code == "IDEMPOTENCY_KEY_REUSED":
            return  # the session has ended, or another run has answered meanwhile, in other words
        raise


def echo(history: Sequence[Json]) -> str:
    """Answer with what the user said last."""
    said = next((each["content"] for each in reversed(history) if each["role"] == "user"), "")
    return f"You said: {said}"


class Bedrock:
    """Answers with a model of Amazon Bedrock, through Converse."""

    def __init__(self, client: Any, model_id: str, instructions: str) -> None:  # noqa: ANN401 - a client of boto3
        """Use a model by its id."""
        self._client = client
        self._model_id = model_id
        self._instructions = instructions

    def __call__(self, history: Sequence[Json]) -> str:
        """Return what the model says next."""
        answer = self._client.converse(
            modelId=self._model_id,
            system=[{"text": self._instructions}],
            messages=turns(history),
            inferenceConfig={"maxTokens": 1024},
        )
        return "".join(block.get("text", "") for block in answer["output"]["message"]["content"])


def turns(history: Sequence[Json]) -> list[dict[str, Any]]:
    """Return the conversation as Converse wants it: it begins with the user, and the two take turns."""
    found: list[dict[str, Any]] = []
    for message in history:
        role = {"user": "user", "agent": "assistant"}.get(message["role"])
        if role is None or not message["content"].strip() or (not found and role == "assistant"):
            continue
        if found and found[-1]["role"] == role:
            found[-1]["content"].append({"text": message["content"]})
        else:
            found.append({"role": role, "content": [{"text": message["content"]}]})
    return found


@cache
def _api() -> SessionsApi:
    name = os.environ["API_KEY_PARAMETER"]
    key = boto3.client("ssm").get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"] if name else ""
    return SessionsApi(os.environ["API_URL"], key)


@cache
def _answer() -> Callable[[Sequence[Json]], str]:
    model_id = os.environ["MODEL_ID"]
    return Bedrock(boto3.client("bedrock-runtime"), model_id, os.environ["INSTRUCTIONS"]) if model_id else echo


def handler(batch: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answer a batch of SQS."""
    return consume(batch, _api(), _answer())
