"""Messages in DynamoDB. The session's item gives the numbers; what stands under a number is written once.

    sessions table   UpdateItem          lastSeq + 1, lastMessageAt later, and a user's renewal: all or nothing
    messages table   PutItem             (life, number), only where nothing stands there yet
                     TransactWriteItems  a batch of such puts, after lastSeq + their count

A message that is late meets a sealed number, a number that is sealed late meets its message: the conditions decide.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from agent_sessions.aws_clients.failures import FailedCondition, FailedTransaction, translated
from agent_sessions.messages import dynamo_item as items
from agent_sessions.messages.model import KeyRecord, Message, Role, Slot, purge_at_seconds
from agent_sessions.messages.ports import Refusal, Slots, Taking, TakingAttempt
from agent_sessions.sessions.attempts import Write
from agent_sessions.sessions.dynamo_item import (
    LAST_MESSAGE_AT,
    LAST_SEQUENCE,
    OPEN_SEQUENCE,
    Item,
    number,
    session_from_item,
    session_key,
)
from agent_sessions.sessions.dynamo_renewal import ALIVE, NOT_CLOSED, OWNED, Update, renewal_update
from agent_sessions.sessions.dynamo_store import update_session
from agent_sessions.sessions.ids import new_attempt
from agent_sessions.sessions.model import Session

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

_NEXT: Final = f"if_not_exists({LAST_SEQUENCE}, :zero) + "
_FREE: Final = f"attribute_not_exists({items.SEQUENCE})"

_STANDS: Final = f"attribute_not_exists({items.SEALED}) AND attribute_not_exists({items.REDACTED})"

# The conditions of a number, each by its name.
_LATER: Final = f"(attribute_not_exists({LAST_MESSAGE_AT}) OR {LAST_MESSAGE_AT} < :now)"
# Where another clock is ahead, a message comes one millisecond after the last. This condition only ever becomes truer.
_OVERTAKEN: Final = f"{LAST_MESSAGE_AT} >= :overtakenMessage"
_WITHIN_LIMIT: Final = f"(attribute_not_exists({LAST_SEQUENCE}) OR {LAST_SEQUENCE} < :limit)"
_NONE_YET: Final = f"attribute_not_exists({LAST_SEQUENCE})"
_EXPECTED: Final = f"{LAST_SEQUENCE} = :expected"
_ANSWERED: Final = f"{LAST_SEQUENCE} >= :answered"
_THIS_LIFE: Final = "attempt = :attempt"


class DynamoMessageStore:
    """`MessageStore` on two tables. Raises `ServiceUnavailable` where DynamoDB does not answer."""

    def __init__(self, client: "DynamoDBClient", sessions_table: str, messages_table: str) -> None:
        """Use `client` on the two tables."""
        self._client = client
        self._sessions = sessions_table
        self._messages = messages_table

    def session(self, session_id: str, *, consistent: bool) -> Session | None:
        """Read a session: one unit up to 4 KB, half of one where the answer may be some milliseconds old."""
        with translated():
            answer = self._client.get_item(
                TableName=self._sessions, Key=session_key(session_id), ConsistentRead=consistent
            )
        item = answer.get("Item")
        return session_from_item(item) if item else None

    def take_number(self, session_id: str, tenant_id: str, attempt: TakingAttempt, now_ms: int) -> Write:
        """Give a live session its next numbers and renew it where the attempt does, in one conditional update."""
        update = _taking_update(tenant_id, attempt, now_ms)
        return update_session(self._client, self._sessions, session_id, update)

    def put(self, message: Message) -> Slot | None:
        """Store a message under its number; return None, or what stands there already."""
        held = self._put_once(items.message_item(message))
        return None if held is None else items.slot_from_item(held)

    def put_all(self, session: Session, messages: Sequence[Message], record: KeyRecord | None) -> Refusal | None:
        """Store up to 25 messages, and what stands for their key, in one transaction: two write units for each KB."""
        stored = [items.message_item(message) for message in messages]
        if record is not None:
            stored.append(items.key_item(session.life, record, purge_at_seconds(session)))
        puts: list[TransactWriteItemTypeDef] = [
            {
                "Put": {
                    "TableName": self._messages,
                    "Item": item,
                    "ConditionExpression": _FREE,
                    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                }
            }
            for item in stored
        ]
        try:
            with translated():
                # botocore would make a token where there is none; nobody else's call has this one.
                self._client.transact_write_items(TransactItems=puts, ClientRequestToken=new_attempt().hex())
        except FailedTransaction as refused:
            key = None if record is None else refused.items[-1]
            slots = [items.slot_from_item(item) for item in refused.items[: len(messages)] if item]
            return Refusal(slots, items.key_from_item(key) if key else None)
        return None

    def seal(self, session: Session, sequence: int) -> Slot | None:
        """Seal a number under which nothing stands yet; return None, or what stands there already."""
        held = self._put_once(items.sealed_item(session.life, sequence, purge_at_seconds(session)))
        return None if held is None else items.slot_from_item(held)

    def get(self, session: Session, sequence: int) -> Slot | None:
        """Read what stands under a number, consistently."""
        item = self._item(items.slot_key(session.life, sequence), consistent=True)
        return items.slot_from_item(item) if item else None

    def slots(
        self, session: Session, low: int, high: int, *, newest_first: bool, limit: int, consistent: bool
    ) -> Slots:
        """Read what stands under the numbers from `low` to `high`, at most `limit` and 1 MB in one query."""
        with translated():
            answer = self._client.query(
                TableName=self._messages,
                KeyConditionExpression=f"{items.LIFE} = :life AND {items.SEQUENCE} BETWEEN :low AND :high",
                ExpressionAttributeValues={
                    ":life": {"S": session.life},
                    ":low": number(low),
                    ":high": number(high),
                },
                ScanIndexForward=not newest_first,
                Limit=limit,
                ConsistentRead=consistent,
            )
        return Slots([items.slot_from_item(item) for item in answer["Items"]], "LastEvaluatedKey" in answer)

    def redact(self, session: Session, sequence: int) -> bool | None:
        """Empty a message in one conditional update: a write unit for each KB that it had."""
        try:
            with translated():
                self._client.update_item(
                    TableName=self._messages,
                    Key=items.slot_key(session.life, sequence),
                    UpdateExpression=f"SET {items.REDACTED} = :true REMOVE {', '.join(f'#{n}' for n in items.EMPTIED)}",
                    ConditionExpression=f"attribute_exists({items.SEQUENCE}) AND {_STANDS}",
                    ExpressionAttributeNames={f"#{name}": name for name in items.EMPTIED},
                    ExpressionAttributeValues={":true": {"BOOL": True}},
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
        except FailedCondition as refused:
            return False if refused.item and items.REDACTED in refused.item else None
        return True

    def standing(self, session: Session, low: int, high: int) -> tuple[list[int], int | None]:
        """Find messages that stand: a consistent query of up to 1 MB."""
        with translated():
            answer = self._client.query(
                TableName=self._messages,
                KeyConditionExpression=f"{items.LIFE} = :life AND {items.SEQUENCE} BETWEEN :low AND :high",
                FilterExpression=_STANDS,
                ProjectionExpression=items.SEQUENCE,
                ExpressionAttributeValues={":life": {"S": session.life}, ":low": number(low), ":high": number(high)},
                ConsistentRead=True,
            )
        last = answer.get("LastEvaluatedKey")
        found = [int(item[items.SEQUENCE]["N"]) for item in answer["Items"]]
        return found, int(last[items.SEQUENCE]["N"]) if last else None

    def key_record(self, session: Session, key: int, *, consistent: bool) -> KeyRecord | None:
        """Read what the session's life remembers of a key."""
        item = self._item(items.slot_key(session.life, key), consistent=consistent)
        return items.key_from_item(item) if item else None

    def put_key(self, session: Session, record: KeyRecord) -> KeyRecord | None:
        """Remember a key; return None, or what is remembered of it already."""
        held = self._put_once(items.key_item(session.life, record, purge_at_seconds(session)))
        return None if held is None else items.key_from_item(held)

    def move_key(self, session: Session, record: KeyRecord, sealed: int) -> bool:
        """Give a key another number than the sealed one; return False where somebody else did."""
        try:
            with translated():
                self._client.update_item(
                    TableName=self._messages,
                    Key=items.slot_key(session.life, record.number),
                    UpdateExpression="SET n = :n, #at = :at",
                    ConditionExpression="n = :sealed",
                    ExpressionAttributeNames={"#at": "at"},
                    ExpressionAttributeValues={
                        ":n": number(record.sequence),
                        ":at": number(record.created_at_ms),
                        ":sealed": number(sealed),
                    },
                )
        except FailedCondition:
            return False
        return True

    def _item(self, key: Item, *, consistent: bool) -> Item | None:
        with translated():
            return self._client.get_item(TableName=self._messages, Key=key, ConsistentRead=consistent).get("Item")

    def _put_once(self, item: Item) -> Item | None:
        try:
            with translated():
                self._client.put_item(
                    TableName=self._messages,
                    Item=item,
                    ConditionExpression=_FREE,
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
        except FailedCondition as error:
            found = error.item
            if found is None:
                raise
            return found
        return None


def _taking_update(tenant_id: str, attempt: TakingAttempt, now_ms: int) -> Update:
    taking, renewal, overtaken_ms = attempt
    sets: list[str] = []
    if renewal is None:
        conditions = [OWNED, NOT_CLOSED, ALIVE]
        values: Item = {":tenant": {"S": tenant_id}, ":now": number(now_ms)}
    else:
        sets, conditions, values, _ = renewal_update(tenant_id, renewal, now_ms)
    count = len(taking.roles)
    step = ":one" if count == 1 else ":count"
    values |= {":zero": number(0), step: number(count), ":limit": number(taking.limit - count + 1)}
    if overtaken_ms is not None:
        moment, in_order = f"{LAST_MESSAGE_AT} + {step}", _OVERTAKEN
        values[":overtakenMessage"] = number(overtaken_ms)
    elif count == 1:
        moment, in_order = ":now", _LATER
    else:  # a millisecond each, from now on
        moment, in_order = ":last", _LATER
        values[":last"] = number(now_ms + count - 1)
    sets = [*sets, f"{LAST_SEQUENCE} = {_NEXT}{step}", f"{LAST_MESSAGE_AT} = {moment}"]
    conditions = [*conditions, in_order, _WITHIN_LIMIT]
    speaker, turn = _last_speaker(taking.roles)
    if speaker == "user" and turn < count:
        sets.append(f"{OPEN_SEQUENCE} = {_NEXT}:open")
        values[":open"] = number(turn)
    elif speaker == "user":
        sets.append(f"{OPEN_SEQUENCE} = {_NEXT}{step}")
    _bind(taking, conditions, values)
    return Update(sets, conditions, values, (OPEN_SEQUENCE,) if speaker == "agent" else ())


def _bind(taking: Taking, conditions: list[str], values: Item) -> None:
    """Add the conditions that the caller asks for."""
    if taking.expected == 0:
        conditions.append(_NONE_YET)
    elif taking.expected is not None:
        conditions.append(_EXPECTED)
        values[":expected"] = number(taking.expected)
    if taking.answered is not None:
        conditions.append(_ANSWERED)
        values[":answered"] = number(taking.answered)
    if taking.attempt is not None:
        conditions.append(_THIS_LIFE)
        values[":attempt"] = {"B": taking.attempt}


def _last_speaker(roles: Sequence[Role]) -> tuple[Role | None, int]:
    """Return which of user and agent speaks last, and in which of the messages, counted from 1."""
    turns = [(role, at) for at, role in enumerate(roles, 1) if role in ("user", "agent")]
    return turns[-1] if turns else (None, 0)
