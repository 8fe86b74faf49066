"""The Python client of agent-sessions.

>>> from agent_sessions_client import SessionsClient
>>> client = SessionsClient("https://sessions.example.com", api_key="...")  # nothing is sent yet
"""

from agent_sessions_client import errors
from agent_sessions_client._retries import Patience
from agent_sessions_client.client import AsyncSessionsClient, SessionsClient
from agent_sessions_client.conversation import AsyncConversation, Conversation, Ended, Expiring
from agent_sessions_client.errors import ApiError, ClientError
from agent_sessions_client.models import (
    Deletion,
    Health,
    Message,
    MessagePage,
    NewMessage,
    Reply,
    Sent,
    SentBatch,
    Session,
    TimeoutConfig,
)
from agent_sessions_client.operator_models import AgentPolicy, Bounds, Erasure, ExportPart

__all__ = [
    "AgentPolicy",
    "ApiError",
    "AsyncConversation",
    "AsyncSessionsClient",
    "Bounds",
    "ClientError",
    "Conversation",
    "Deletion",
    "Ended",
    "Erasure",
    "Expiring",
    "ExportPart",
    "Health",
    "Message",
    "MessagePage",
    "NewMessage",
    "Patience",
    "Reply",
    "Sent",
    "SentBatch",
    "Session",
    "SessionsClient",
    "TimeoutConfig",
    "errors",
]
