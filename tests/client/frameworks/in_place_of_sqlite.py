"""A plugin of pytest: in the SDK's own tests, AgentSession stands in place of SQLiteSession.

What these tests give by the path of a database, ours has by the name: sessions of one path and id are the same one, and
each session in memory is another one.
"""

import os
import uuid
from pathlib import Path
from typing import Any

import agents
import agents.memory
from agent_sessions_client import Patience, SessionsClient
from agent_sessions_client.openai_agents import AgentSession


class InPlaceOfSqlite(AgentSession):
    """An AgentSession with the constructor of SQLiteSession."""

    def __init__(self, session_id: str, db_path: str | Path = ":memory:", *_tables: str, **settings: Any) -> None:
        database = uuid.uuid4() if str(db_path) == ":memory:" else db_path
        patience = Patience(deadline_seconds=300, attempt_seconds=300)  # the machine may be busy
        client = SessionsClient(os.environ["STACK_URL"], patience=patience)
        super().__init__(f"{database}:{session_id}", client, **settings)
        self.session_id = session_id

    def close(self) -> None:
        """There is no file to close."""


for package in (agents, agents.memory):
    vars(package)["SQLiteSession"] = InPlaceOfSqlite
