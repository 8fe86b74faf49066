"""AgentSessionsService beside ADK's own services: the same calls, the same answers, but for differences that are named.

Runs in .venv-frameworks, against the local stack whose address is in STACK_URL.
"""

import asyncio
import os
import random
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest
from agent_sessions_client import Patience, SessionsClient, adk
from agent_sessions_client.adk import AgentSessionsService
from google.adk.agents import LlmAgent
from google.adk.errors import StaleSessionError
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import Runner
from google.adk.sessions.base_session_service import BaseSessionService, GetSessionConfig
from google.adk.sessions.in_memory_session_service import InMemorySessionService
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from google.genai import types

URL = os.environ.get("STACK_URL", "")
PATIENCE = Patience(deadline_seconds=300, attempt_seconds=300)  # the machine may be busy


class Scoped:
    """State of users and apps, in memory."""

    def __init__(self) -> None:
        self.apps: dict[str, dict[str, Any]] = {}
        self.users: dict[tuple[str, str], dict[str, Any]] = {}

    async def read(self, app_name: str, user_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.apps.get(app_name, {}), self.users.get((app_name, user_id), {})

    async def update(self, app_name: str, user_id: str, app: Any, user: Any) -> None:
        self.apps.setdefault(app_name, {}).update(app)
        self.users.setdefault((app_name, user_id), {}).update(user)


def ours(*, scoped: bool = True) -> AgentSessionsService:
    return AgentSessionsService(SessionsClient(URL, patience=PATIENCE), scoped_state=Scoped() if scoped else None)


def names_of_nobody() -> dict[str, Any]:
    return {"app_name": f"app-{uuid.uuid4()}", "user_id": "u"}


def said(text: str, author: str = "user", **actions: Any) -> Event:
    content = types.Content(role="user" if author == "user" else "model", parts=[types.Part(text=text)])
    return Event(author=author, invocation_id="i", content=content, actions=EventActions(**actions))


class Trial:
    """The same calls to several services, with names that nobody else has."""

    def __init__(self, services: list[BaseSessionService]) -> None:
        self.services = services
        self.app, self.user = f"app-{uuid.uuid4()}", "user one"

    async def each(self, call: Any) -> list[Any]:
        """What each service answers or raises."""
        answers = []
        for service in self.services:
            try:
                answers.append(await call(service))
            except (AlreadyExistsError, SessionNotFoundError, StaleSessionError) as error:
                answers.append(type(error).__name__)
        return answers

    async def same(self, call: Any) -> Any:
        first, *others = await self.each(call)
        assert all(other == first for other in others), (first, others)
        return first

    def read(self, session_id: str, **config: Any) -> Any:
        async def call(service: BaseSessionService) -> Any:
            chosen = GetSessionConfig(**config) if config else None
            found = await service.get_session(
                app_name=self.app, user_id=self.user, session_id=session_id, config=chosen
            )
            return found and (found.id, found.user_id, found.state, [event.model_dump() for event in found.events])

        return call

    def create(self, session_id: str, state: dict[str, Any] | None = None) -> Any:
        async def call(service: BaseSessionService) -> Any:
            made = await service.create_session(
                app_name=self.app, user_id=self.user, session_id=session_id, state=state
            )
            return made.id, made.state, made.events

        return call

    def append(self, session_id: str, event: Event) -> Any:
        async def call(service: BaseSessionService) -> Any:
            found = await service.get_session(app_name=self.app, user_id=self.user, session_id=session_id)
            if found is None:
                return None
            added = await service.append_event(found, event.model_copy(deep=True))
            return added.model_dump(), found.state, len(found.events)

        return call

    def delete(self, session_id: str) -> Any:
        return lambda service: service.delete_session(app_name=self.app, user_id=self.user, session_id=session_id)

    def listed(self) -> Any:
        async def call(service: BaseSessionService) -> Any:
            found = (await service.list_sessions(app_name=self.app, user_id=self.user)).sessions
            return sorted((each.id, each.user_id, len(each.events)) for each in found)

        return call


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial([InMemorySessionService(), SqliteSessionService(str(tmp_path / "adk.db")), ours()])


VALUES = [None, True, 7, 2**53 + 1, 0.1, 1e300, "", "text", "\u2603", [1, [None]], {"a": {"b": None}}, {}]
KEYS = ["a", "b", "user:name", "app:theme", "temp:draft"]


@pytest.mark.parametrize("seed, snapshot_every", [(0, 2), (1, adk.SNAPSHOT_EVERY)])
def test_a_random_life_is_the_same_on_every_service(
    trial: Trial, seed: int, snapshot_every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adk, "SNAPSHOT_EVERY", snapshot_every)
    chance = random.Random(seed)

    async def live() -> None:
        ids = ["one", "two words", "drei"]
        for _ in range(20):
            session_id = chance.choice(ids)
            state = {name: chance.choice(VALUES) for name in KEYS if chance.random() < 0.3}
            kind = chance.choice(["create", "append", "append", "append", "read", "recent", "delete", "list"])
            if kind == "create":
                await trial.same(trial.create(session_id, state))
            elif kind == "append":
                author = chance.choice(["user", "helper"])
                await trial.same(trial.append(session_id, said(f"{chance.random()}", author, state_delta=state)))
            elif kind == "read":
                await trial.same(trial.read(session_id))
            elif kind == "recent":
                await trial.same(trial.read(session_id, num_recent_events=chance.randrange(4)))
            elif kind == "list":
                await trial.same(trial.listed())
            elif chance.random() < 0.3:
                await trial.same(trial.delete(session_id))
        for session_id in ids:
            await trial.same(trial.read(session_id))

    asyncio.run(live())


def test_behind_a_snapshot_a_reader_of_recent_events_reads_no_older_ones() -> None:
    async def live() -> None:
        client, names = SessionsClient(URL, patience=PATIENCE), names_of_nobody()
        service = AgentSessionsService(client)
        session = await service.create_session(session_id="s", state={"first": None}, **names)
        for number in range(adk.SNAPSHOT_EVERY):
            await service.append_event(session, said("x", state_delta={"n": number, "nothing": None}))
        whole = await service.get_session(session_id="s", **names)
        assert whole is not None
        assert whole.state == {"first": None, "n": adk.SNAPSHOT_EVERY - 1, "nothing": None}
        await service.append_event(whole, said("y", state_delta={"n": -1}))
        read: list[int] = []
        with mock.patch.object(client, "list_messages", _noting(client.list_messages, read)):
            config = GetSessionConfig(num_recent_events=2)
            recent = await service.get_session(session_id="s", config=config, **names)
        assert recent is not None
        assert (recent.state, recent.events) == (whole.state, whole.events[-2:])
        assert len(read) == 3, "the two, and the one that shows that this is enough"

    asyncio.run(live())


def _noting(listed: Any, read: list[int]) -> Any:
    """Iterate over the same messages, and note which were read."""

    def list_messages(*arguments: Any, **options: Any) -> Any:
        for message in listed(*arguments, **options):
            read.append(message.sequence)
            yield message

    return list_messages


@pytest.mark.parametrize("meanwhile", ["patched", "too large"])
def test_a_snapshot_that_is_refused_or_has_no_room_loses_no_state(
    meanwhile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adk, "SNAPSHOT_EVERY", 1)

    async def live() -> None:
        client, names = SessionsClient(URL, patience=PATIENCE), names_of_nobody()
        service = AgentSessionsService(client)
        state = {"a": None, "large": "x" * (20_000 if meanwhile == "too large" else 1)}
        session = await service.create_session(session_id="s", state=state, **names)
        own_id = session._storage_update_marker.split()[0]

        def listed(*arguments: Any, **options: Any) -> Any:
            if meanwhile == "patched":
                client.update_metadata(own_id, {"theirs": 1})
            return list_messages(*arguments, **options)

        list_messages = client.list_messages
        with mock.patch.object(client, "list_messages", listed):
            found = await service.get_session(session_id="s", **names)
        assert found is not None
        assert found.state == state
        assert "snapshot" not in client.get_session(own_id).metadata["adk"]
        await service.append_event(found, said("x", state_delta={"b": 1}))
        again = await service.get_session(session_id="s", **names)
        assert again is not None
        assert again.state == state | {"b": 1}

    asyncio.run(live())


def test_events_of_every_kind_come_back_whole(trial: Trial) -> None:
    parts = [
        types.Part(function_call=types.FunctionCall(id="c", name="look", args={"q": [1, None]})),
        types.Part(function_response=types.FunctionResponse(id="c", name="look", response={"r": 0.1})),
        types.Part(inline_data=types.Blob(mime_type="image/png", data=bytes(range(256)))),
        types.Part(text="thinking", thought=True, thought_signature=b"\x00\xff"),
        types.Part(text="a\u2603\U0001f600"),
    ]

    async def live() -> None:
        await trial.same(trial.create("s"))
        for part in parts:
            content = types.Content(role="model", parts=[part])
            event = Event(author="helper", content=content, long_running_tool_ids={"c"}, custom_metadata={"k": [None]})
            await trial.same(trial.append("s", event))
        await trial.same(trial.append("s", Event(author="helper", error_code="E", error_message="m")))
        await trial.same(trial.append("s", said("half", "helper").model_copy(update={"partial": True})))
        answer = await trial.same(trial.read("s"))
        assert len(answer[3]) == len(parts) + 1

    asyncio.run(live())


def test_a_session_is_created_once_under_its_names(trial: Trial) -> None:
    async def live() -> None:
        await trial.same(trial.create("s", {"a": 1}))
        assert await trial.same(trial.create("s", {"a": 1})) == "AlreadyExistsError"
        assert await trial.same(trial.create(" s ", {"a": 2})) == "AlreadyExistsError"
        await trial.same(trial.delete("s"))
        await trial.same(trial.read("s"))
        await trial.same(trial.delete("s"))
        await trial.same(trial.create("s", {"b": 2}))

    asyncio.run(live())


def test_events_after_a_time_are_chosen_alike(trial: Trial) -> None:
    async def live() -> None:
        await trial.same(trial.create("s"))
        for number in range(4):
            await trial.same(trial.append("s", said(str(number)).model_copy(update={"timestamp": 2e9 + number})))
        assert len((await trial.same(trial.read("s", after_timestamp=2e9 + 2)))[3]) == 2

    asyncio.run(live())


def test_a_writer_who_did_not_see_the_last_event_is_stale() -> None:
    """A difference by intent: ADK's in-memory service lets both write, its SQLite service compares times."""

    async def live() -> None:
        service, names = ours(), names_of_nobody()
        await service.create_session(session_id="s", **names)
        first, second = [await service.get_session(session_id="s", **names) for _ in range(2)]
        assert first is not None
        assert second is not None
        await service.append_event(first, said("one"))
        with pytest.raises(StaleSessionError):
            await service.append_event(second, said("two"))
        await service.append_event(first, said("three"))

    asyncio.run(live())


def test_an_event_that_is_delivered_again_is_stored_once() -> None:
    async def live() -> None:
        service, names = ours(), names_of_nobody()
        await service.create_session(session_id="s", **names)
        event = said("one", state_delta={"a": 1})
        for _ in range(2):
            found = await service.get_session(session_id="s", **names)
            assert found is not None
            await service.append_event(found, event.model_copy(deep=True))
            assert [each.id for each in found.events] == [event.id]

    asyncio.run(live())


def test_state_that_outlives_a_session_is_refused_without_a_place_for_it() -> None:
    async def live() -> None:
        service, names = ours(scoped=False), names_of_nobody()
        with pytest.raises(ValueError, match="user:name"):
            await service.create_session(session_id="s", state={"user:name": "x"}, **names)
        assert await service.get_session(session_id="s", **names) is None
        session = await service.create_session(session_id="s", **names)
        with pytest.raises(ValueError, match="app:theme"):
            await service.append_event(session, said("one", state_delta={"app:theme": "dark"}))
        found = await service.get_session(session_id="s", **names)
        assert found is not None
        assert found.events == []
        with pytest.raises(NotImplementedError):
            await service.get_user_state(**names)

    asyncio.run(live())


class EchoModel(BaseLlm):
    """Says how many things it was told."""

    async def generate_content_async(self, llm_request: Any, stream: bool = False) -> Any:  # noqa: FBT001, FBT002
        text = f"heard {len(llm_request.contents)}"
        yield LlmResponse(content=types.Content(role="model", parts=[types.Part(text=text)]))


async def talk(app: str, text: str) -> str:
    """One turn of a runner, in a session that may be there already."""
    service = ours(scoped=False)
    if await service.get_session(app_name=app, user_id="u", session_id="s") is None:
        await service.create_session(app_name=app, user_id="u", session_id="s")
    agent = LlmAgent(name="helper", model=EchoModel(model="echo"))
    runner = Runner(app_name=app, agent=agent, session_service=service)
    message = types.Content(role="user", parts=[types.Part(text=text)])
    answers = [event async for event in runner.run_async(user_id="u", session_id="s", new_message=message)]
    return "".join(part.text or "" for event in answers for part in event.content.parts)


def test_a_conversation_goes_on_in_another_process() -> None:
    app = f"app_{uuid.uuid4().hex}"
    script = f"import asyncio, adk_suite; print(asyncio.run(adk_suite.talk({app!r}, 'two')))"
    assert asyncio.run(talk(app, "one")) == "heard 1"
    other = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == "heard 3"
    assert asyncio.run(talk(app, "three")) == "heard 5"


def test_a_session_that_expired_is_not_there_and_its_names_are_free_again() -> None:
    async def live() -> None:
        names = names_of_nobody() | {"session_id": "s"}
        service = AgentSessionsService(SessionsClient(URL, patience=PATIENCE), timeout_minutes=5)
        session = await service.create_session(state={"a": 1}, **names)
        await asyncio.to_thread(httpx.post, f"{URL}/_local/clock", json={"advanceMinutes": 6}, timeout=300)
        assert await service.get_session(**names) is None
        with pytest.raises(SessionNotFoundError):
            await service.append_event(session, said("late"))
        assert (await service.create_session(state={"b": 2}, **names)).state == {"b": 2}

    asyncio.run(live())
