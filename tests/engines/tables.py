"""The tables on any engine, made from template.yaml: nothing of its schema stands in a test."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from template_reader import create_tables

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

TEMPLATE: Final = Path(__file__).resolve().parents[2] / "template.yaml"
SESSIONS: Final = "SessionsTable"
MESSAGES: Final = "MessagesTable"
AGENT_POLICIES: Final = "AgentPoliciesTable"
API_KEYS: Final = "ApiKeysTable"


def create_sessions_table(client: "DynamoDBClient", name: str = "sessions", *, time_to_live: bool = False) -> str:
    """Create the table and return its name."""
    create_tables(client, TEMPLATE, {SESSIONS: name}, time_to_live=time_to_live)
    return name


def create_messages_table(client: "DynamoDBClient", name: str = "messages", *, time_to_live: bool = False) -> str:
    """Create the table and return its name."""
    create_tables(client, TEMPLATE, {MESSAGES: name}, time_to_live=time_to_live)
    return name


def create_agent_policies_table(client: "DynamoDBClient", name: str = "agent-policies") -> str:
    """Create the table and return its name."""
    create_tables(client, TEMPLATE, {AGENT_POLICIES: name})
    return name


def create_api_keys_table(client: "DynamoDBClient", name: str = "api-keys", *, time_to_live: bool = False) -> str:
    """Create the table and return its name."""
    create_tables(client, TEMPLATE, {API_KEYS: name}, time_to_live=time_to_live)
    return name
