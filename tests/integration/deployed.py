"""The deployed handler with its table in DynamoDB Local."""

from contextlib import suppress
from typing import Any

from agent_sessions.bootstrap import request_path, wiring
from agent_sessions.clock import Clock

from tests.engines.fake_queue import FakeQueue
from tests.engines.fake_sns import FakeSns
from tests.engines.fixtures import Table
from tests.engines.tables import create_agent_policies_table
from tests.store_suite import examples
from tests.unit.world import ERASER_QUEUE, POLICIES, TOPIC, MovableClock, World, expression_values


def messages_table(sessions: Table) -> str:
    """The table of messages that belongs to a sessions table; only tests about messages make it."""
    return f"{sessions.name}-messages"


def policies_table(sessions: Table) -> str:
    """The table of policies, one for all tests: made by the first that asks."""
    with suppress(sessions.client.exceptions.ResourceInUseException):
        create_agent_policies_table(sessions.client, POLICIES)
    return POLICIES


class Deployed(World):
    """A deployment on a table that is given. The last one made is the one that the handler belongs to."""

    def __init__(self, table: Table, *, clock: Clock | None = None, **settings: str) -> None:
        self.clock = MovableClock()
        self.table = table
        self.queue = FakeQueue(clock or self.clock)
        environ = {
            "SESSIONS_TABLE": table.name,
            "MESSAGES_TABLE": messages_table(table),
            "AGENT_POLICIES_TABLE": settings.get("AGENT_POLICIES_TABLE") or policies_table(table),
            "ERASER_QUEUE_URL": ERASER_QUEUE,
            **TOPIC,
            **settings,
        }
        self.sns = FakeSns(clock or self.clock)
        clients = {"dynamodb": table.client, "sqs": self.queue, "sns": self.sns}
        wiring.wire(wiring.Wiring(environ, clock or self.clock, clients))
        request_path.session_api()  # built before threads ask for it
        request_path.session_messages()

    def item(self, session_id: str) -> Any:
        """The item as it lies in the table; None for nothing."""
        return examples.item(self.table, session_id)

    def remove(self, session_id: str) -> None:
        """Take the item away, as TTL would."""
        self.table.client.delete_item(TableName=self.table.name, Key={"sessionId": {"S": session_id}})

    def update(self, session_id: str, update: str, **values: Any) -> None:
        self.table.client.update_item(
            TableName=self.table.name,
            Key={"sessionId": {"S": session_id}},
            UpdateExpression=update,
            **expression_values(values),
        )

    def mark(self, session_id: str, update: str, *, lease: Any) -> bool:
        """Change an item as the sweep does: only while it is in this lease. Tells whether it was."""
        try:
            self.table.client.update_item(
                TableName=self.table.name,
                Key={"sessionId": {"S": session_id}},
                UpdateExpression=update,
                ConditionExpression="lease = :lease",
                ExpressionAttributeValues={":lease": lease},
            )
        except self.table.client.exceptions.ConditionalCheckFailedException:
            return False
        return True
