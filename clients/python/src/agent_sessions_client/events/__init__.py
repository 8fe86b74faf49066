"""Read what the service publishes: typed events from queues, Lambda functions and HTTPS endpoints, each acted on once.

>>> from agent_sessions_client.events import MessageCreated, parse
>>> event = parse(body)
>>> isinstance(event, MessageCreated) and event.role
'user'
"""

from agent_sessions_client.events.deliveries import Delivery, from_lambda, from_sqs, parse
from agent_sessions_client.events.https import Confirmation, HttpsReceiver, Rejected
from agent_sessions_client.events.kinds import (
    Event,
    MalformedEvent,
    MessageCreated,
    SessionCreated,
    SessionEnded,
    SessionEvent,
    SessionExpired,
    SessionExpiring,
    UserErased,
)
from agent_sessions_client.events.seen import Deduplicator, DynamoStore, Leases, MemoryStore, Store

__all__ = [
    "Confirmation",
    "Deduplicator",
    "Delivery",
    "DynamoStore",
    "Event",
    "HttpsReceiver",
    "Leases",
    "MalformedEvent",
    "MemoryStore",
    "MessageCreated",
    "Rejected",
    "SessionCreated",
    "SessionEnded",
    "SessionEvent",
    "SessionExpired",
    "SessionExpiring",
    "Store",
    "UserErased",
    "from_lambda",
    "from_sqs",
    "parse",
]
