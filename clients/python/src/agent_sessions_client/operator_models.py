"""What the service answers to operators: policies, erasures, exports."""

from collections.abc import Mapping
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


@dataclass(frozen=True)
class Bounds:
    """What a policy says of a number: its default for the agent's sessions, the least and the greatest value."""

    default: float | None = None
    min: float | None = None
    max: float | None = None

    @classmethod
    def from_json(cls, body: Json | float | None) -> "Bounds":
        return cls(**body) if isinstance(body, Mapping) else cls(default=body)

    def to_json(self) -> dict[str, float]:
        """Return what was given, as the service takes it."""
        every = {"default": self.default, "min": self.min, "max": self.max}
        return {name: value for name, value in every.items() if value is not None}


@dataclass(frozen=True)
class AgentPolicy:
    """The policy of an agent for its sessions. None means that the policy says nothing of it."""

    agent_id: str
    updated_at: datetime
    allowed: bool
    auto_renew: bool | None
    timeout_minutes: Bounds
    max_duration_minutes: Bounds
    warning_threshold_minutes: Bounds
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, body: Json) -> "AgentPolicy":
        return cls(
            agent_id=body["agentId"],
            updated_at=parse_time(body["updatedAt"]),
            allowed=body.get("allowed", True),
            auto_renew=body.get("autoRenew"),
            timeout_minutes=Bounds.from_json(body.get("timeoutMinutes")),
            max_duration_minutes=Bounds.from_json(body.get("maxDurationMinutes")),
            warning_threshold_minutes=Bounds.from_json(body.get("warningThresholdMinutes")),
            raw=body,
        )
