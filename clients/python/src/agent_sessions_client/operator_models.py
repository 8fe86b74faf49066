"""What the service answers to operators: erasures and exports."""

from dataclasses import dataclass, field
from datetime import datetime

from agent_sessions_client.models import Json, Session
from agent_sessions_client.timestamps import parse_time


@dataclass(frozen=True)
class Receipt:
    """What an erasure that is done leaves: a hash of the user's id, and a digest of the ids that were removed."""

    finished_at: datetime
    user_id_hash: str
    sessions_digest: str


@dataclass(frozen=True)
class Erasure:
    """The erasure of a user: `running`, or `done` with a receipt."""

    erasure_id: str
    status: str
    requested_at: datetime
    sessions: int
    messages: int
    receipt: Receipt | None
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, body: Json) -> "Erasure":
        receipt = body.get("receipt")
        return cls(
            erasure_id=body["erasureId"],
            status=body["status"],
            requested_at=parse_time(body["requestedAt"]),
            sessions=body["sessions"],
            messages=body["messages"],
            receipt=None
            if receipt is None
            else Receipt(parse_time(receipt["finishedAt"]), receipt["userIdHash"], receipt["sessionsDigest"]),
            raw=body,
        )


@dataclass(frozen=True)
class ExportPart:
    """A part of an export. `messages` are JSON, as the service stores them: emptied ones too."""

    session: Session
    messages: tuple[Json, ...]
    skipped: tuple[int, ...]
    next_cursor: str | None
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, body: Json) -> "ExportPart":
        return cls(
            session=Session.from_json(body["session"]),
            messages=tuple(body["messages"]),
            skipped=tuple(body["skipped"]),
            next_cursor=body.get("nextCursor"),
            raw=body,
        )
