"""AgentSession beside the SDK's own SQLiteSession: the same calls, the same answers.

Runs in .venv-frameworks, against the local stack whose address is in STACK_URL.
"""

import asyncio
import copy
import os
import random
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from agent_sessions_client import Patience, SessionsClient, errors
from agent_sessions_client.openai_agents import AgentSession
from agents import Agent, RunConfig, Runner, SQLiteSession
from agents.memory import Session, SessionSettings
from agents.testing import ScriptedModel, assistant_message

URL = os.environ.get("STACK_URL", "")
PATIENCE = Patience(deadline_seconds=300, attempt_seconds=300)  # the machine may be busy


def ours(name: str | None = None, **options: Any) -> AgentSession:
    return AgentSession(name or f"talk {uuid.uuid4()}", SessionsClient(URL, patience=PATIENCE), **options)


ITEMS: list[Any] = [
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi there!"},
    {"role": "user", "content": ""},
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "input_text", "text": "a\u2603\U0001f600\0"}]},
    {"role": "user", "content": "half a character: \ud83d"},
    {"type": "function_call", "call_id": "c", "name": "look", "arguments": '{"q": null}'},
    {"type": "function_call_output", "call_id": "c", "output": "found", "n": 2**60, "x": 0.1, "nothing": None},
    {"type": "reasoning", "id": "r", "summary": [], "infinite": float("inf")},
    {"role": "user", "content": "long " * 3000},
    {"role": "user", "content": '"\\' * 50_000},
    {"type": "image", "data": "A" * 50_000},
]


def test_it_is_a_session_of_the_sdk() -> None:
    assert isinstance(ours(), Session)


@pytest.mark.parametrize("seed", range(2))
def test_a_random_life_is_the_same_as_in_sqlite(seed: int) -> None:
    chance = random.Random(seed)

    async def live() -> None:
        sessions = [SQLiteSession("s"), ours()]
        for _ in range(20):
            kind = chance.choice(["add", "add", "add", "pop", "read", "limit", "clear"])
            if kind == "add":
                items = [copy.deepcopy(chance.choice(ITEMS)) for _ in range(chance.randrange(4))]
                calls = [session.add_items(items) for session in sessions]
            elif kind == "pop":
                calls = [session.pop_item() for session in sessions]
            elif kind == "clear" and chance.random() < 0.3:
                calls = [session.clear_session() for session in sessions]
            else:
                limit = chance.choice([0, 1, 3, 100, -1]) if kind == "limit" else None
                calls = [session.get_items(limit) for session in sessions]
            theirs, own = [await call for call in calls]
            assert own == theirs
        theirs, own = [await session.get_items() for session in sessions]
        assert own == theirs

    asyncio.run(live())


def test_every_kind_of_item_comes_back_whole() -> None:
    async def live() -> None:
        session = ours()
        await session.add_items(ITEMS)
        assert await session.get_items() == ITEMS
        assert [await session.pop_item() for _ in ITEMS] == ITEMS[::-1]
        assert await session.pop_item() is None

    asyncio.run(live())


def test_what_is_left_of_an_item_that_was_not_stored_whole_is_passed() -> None:
    async def live() -> None:
        session = ours()
        await session.add_items([ITEMS[0], ITEMS[-1]])
        client = SessionsClient(URL, patience=PATIENCE)
        own_id = session._own_id
        assert own_id is not None
        pieces = list(client.list_messages(own_id, newest_first=True))
        client.redact_message(own_id, pieces[0].id)
        assert await session.get_items() == [ITEMS[0]]
        assert await session.pop_item() == ITEMS[0]

    asyncio.run(live())


def test_many_items_and_large_ones_lie_in_a_row_in_their_order() -> None:
    """Twenty-five of these are more than the 1 MB that a request may have."""
    items: list[Any] = [
        {"role": "user", "content": f"{number} ".ljust(4_000, "界"), "of": '"' * 8_900} for number in range(60)
    ]

    async def live() -> None:
        session = ours()
        await session.add_items([*items, ITEMS[-1], *items[:30]])
        assert await session.get_items() == [*items, ITEMS[-1], *items[:30]]
        assert session._own_id is not None
        assert SessionsClient(URL, patience=PATIENCE).get_session(session._own_id).renewal_count < 15

    asyncio.run(live())


def test_each_item_is_popped_by_one_of_several_callers() -> None:
    async def live() -> None:
        name = str(uuid.uuid4())
        await ours(name).add_items([{"role": "user", "content": str(number)} for number in range(6)])
        popped = await asyncio.gather(*(ours(name).pop_item() for _ in range(9)))
        assert sorted(each["content"] for each in popped if each) == [str(number) for number in range(6)]

    asyncio.run(live())


def test_the_settings_limit_what_is_read() -> None:
    async def live() -> None:
        session = ours(session_settings={"limit": 2})
        await session.add_items(ITEMS[:4])
        assert await session.get_items() == ITEMS[2:4]
        assert await session.get_items(3) == ITEMS[1:4]

    asyncio.run(live())


def advance(minutes: int) -> None:
    httpx.post(f"{URL}/_local/clock", json={"advanceMinutes": minutes}, timeout=300)


@pytest.mark.parametrize("opened_before", [True, False])
def test_an_expired_session_is_an_error_or_a_new_one_as_its_owner_chose(*, opened_before: bool) -> None:
    async def live() -> None:
        name = str(uuid.uuid4())
        strict, easy = ours(name, timeout_minutes=5), ours(name, timeout_minutes=5, on_expired="new")
        await strict.add_items([ITEMS[0]])
        if opened_before:
            assert await easy.get_items() == [ITEMS[0]]
        await asyncio.to_thread(advance, 6)
        with pytest.raises(errors.SessionExpired):
            await strict.get_items()
        assert await easy.get_items() == []
        await easy.add_items([ITEMS[1]])
        assert await easy.get_items() == [ITEMS[1]]

    asyncio.run(live())


def test_a_cancelled_call_is_finished_before_the_cancellation_is_seen() -> None:
    async def live() -> None:
        session = ours()
        await session.get_items()
        adding = asyncio.create_task(session.add_items(ITEMS[:2]))
        await asyncio.sleep(0)
        adding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await adding
        assert await session.get_items() in ([], ITEMS[:2])

    asyncio.run(live())


async def talk(name: str, text: str) -> int:
    """One turn of a runner; returns how many items the model saw."""
    model = ScriptedModel([[assistant_message("yes")]])
    await Runner.run(Agent(name="helper", model=model), text, session=ours(name))
    return len(model.calls[-1].input)


def test_a_conversation_goes_on_in_another_process() -> None:
    name = str(uuid.uuid4())
    script = f"import asyncio, openai_agents_suite; print(asyncio.run(openai_agents_suite.talk({name!r}, 'two')))"
    assert asyncio.run(talk(name, "one")) == 1
    other = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
    )
    assert int(other.stdout.split()[-1]) == 3
    assert asyncio.run(talk(name, "three")) == 5


def test_a_run_may_limit_what_the_model_sees() -> None:
    async def live() -> None:
        session = ours()
        model = ScriptedModel([[assistant_message("one")], [assistant_message("two")]])
        agent = Agent(name="helper", model=model)
        await Runner.run(agent, "1", session=session)
        limited = RunConfig(session_settings=SessionSettings(limit=1))
        await Runner.run(agent, "2", session=session, run_config=limited)
        assert len(model.calls[-1].input) == 2

    asyncio.run(live())
