"""The contract once more, in short: docs/contract.md up to Expired, ended, unknown, with a list as its store.

Written from the contract alone and kept free of the package, so that the two can disagree.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

Config = dict[str, Any]

MINUTE_MS = 60_000
RETENTION_MS = 1440 * MINUTE_MS
DEFAULTS: Config = {
    "timeoutMinutes": 30,
    "autoRenew": True,
    "maxDurationMinutes": 720,
    "warningThresholdMinutes": 5,
}


@dataclass(frozen=True)
class Expected:
    """What the service must answer: a status, and as much of the body as the contract fixes."""

    status: int
    body: Any = None
    code: str | None = None
    details: Any = None
    fields: frozenset[str] = frozenset()


NOT_FOUND = Expected(404, code="SESSION_NOT_FOUND")


def iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03}Z"


def duration(minutes: float) -> int:
    """Minutes in milliseconds."""
    return round(minutes * MINUTE_MS)


PARTS = ("agentId", "userId", "metadata", "timeoutConfig")


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The parts in which two requests differ; to leave an object out is to send an empty one."""
    return [part for part in PARTS if one.get(part, {}) != other.get(part, {})]


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


@dataclass
class Record:
    """One session."""

    tenant: str
    request: Mapping[str, Any]
    config: Config
    created: int
    session_id: str = ""
    renewed: int = field(init=False)
    activity: int = field(init=False)
    renewals: int = 0
    lease: int = 1
    metadata: Any = None

    def __post_init__(self) -> None:
        self.metadata = self.request.get("metadata", {})
        self.renewed = self.activity = self.created

    @property
    def ends(self) -> int:
        return self.created + duration(self.config["maxDurationMinutes"])

    @property
    def expires(self) -> int:
        return min(self.renewed + duration(self.config["timeoutMinutes"]), self.ends)

    @property
    def renew_after(self) -> str | None:
        if not self.config["autoRenew"] or self.expires == self.ends:
            return None
        room = self.expires - duration(self.config["warningThresholdMinutes"]) - 3 * MINUTE_MS - self.renewed
        return iso(self.renewed + max(0, room) // 2)

    def view(self, now: int) -> dict[str, Any]:
        metadata = self.metadata
        text = json.dumps(metadata, ensure_ascii=False, separators=(",", ":"))
        remaining = max(0, self.expires - now)
        return {
            "sessionId": self.session_id,
            "channelId": self.session_id,
            "agentId": self.request["agentId"],
            "userId": self.request["userId"],
            "createdAt": iso(self.created),
            "lastActivity": iso(self.activity),
            "expiresAt": iso(self.expires),
            "endsAt": iso(self.ends),
            "renewAfter": self.renew_after,
            "metadata": metadata,
            "timeoutConfig": self.config,
            "lease": self.lease,
            "renewalCount": self.renewals,
            "metadataVersion": hashlib.sha256(text.encode()).hexdigest()[:16],
            "lastSequence": 0,
            "lastMessageAt": None,
            "awaitingReply": False,
            "timeRemaining": remaining,
            "isNearExpiration": 0 < remaining <= duration(self.config["warningThresholdMinutes"]),
        }


class Model:
    """All tenants' sessions."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.keys: dict[tuple[str, str], Record] = {}

    # --- what is there

    def find(self, tenant: str, session_id: str, now: int) -> Record | None:
        """The tenant's session, live or expired, while it is remembered."""
        for record in self.records:
            if record.session_id == session_id and record.tenant == tenant and now < record.expires + RETENTION_MS:
                return record
        return None

    @staticmethod
    def gone(record: Record, now: int) -> Expected | None:
        """410 for a session that has expired."""
        if record.expires > now:
            return None
        reason = "max_duration" if record.expires == record.ends else "idle_timeout"
        details = {"expiresAt": iso(record.expires), "reason": reason}
        return Expected(410, code="SESSION_EXPIRED", details=details)

    def live(self, tenant: str, session_id: str, now: int) -> tuple[Record | None, Expected]:
        record = self.find(tenant, session_id, now)
        if record is None:
            return None, NOT_FOUND
        expired = self.gone(record, now)
        return (None, expired) if expired else (record, NOT_FOUND)

    # --- rules of the settings

    @staticmethod
    def faults(sent: Config, kept: Config | None) -> set[str]:
        """The fields sent that break a rule, given the fields kept (None: at creation, where defaults give way)."""
        merged = (kept or DEFAULTS) | sent
        timeout, longest, warning = (
            merged[name] for name in ("timeoutMinutes", "maxDurationMinutes", "warningThresholdMinutes")
        )
        wrong = set()
        if "timeoutMinutes" in sent:
            if not 5 <= timeout <= 1440:
                return {"timeoutMinutes"}  # what else is measured by it is not looked at: the tests send it alone
            if kept and "maxDurationMinutes" not in sent and timeout > longest:
                wrong.add("timeoutMinutes")
            if kept and "warningThresholdMinutes" not in sent and timeout < warning:
                wrong.add("timeoutMinutes")
        if "maxDurationMinutes" in sent and not timeout <= longest <= 2880:
            wrong.add("maxDurationMinutes")
        if "warningThresholdMinutes" in sent and not 1 <= warning <= timeout:
            wrong.add("warningThresholdMinutes")
        return wrong

    # --- routes

    def create(
        self, tenant: str, request: Mapping[str, Any], key: str | None, now: int
    ) -> tuple[Expected, Record | None]:
        """The second value is the new record, whose id only the service knows."""
        sent: Config = request.get("timeoutConfig", {})
        wrong = self.faults(sent, None)
        if wrong:
            return Expected(
                400, code="VALIDATION_ERROR", fields=frozenset(f"timeoutConfig.{name}" for name in wrong)
            ), None
        held = self.keys.get((tenant, key)) if key is not None else None
        if held is not None and held not in self.records:
            held = None  # deleted, and the key with it
        if held is not None and now < held.expires + RETENTION_MS:
            parts = differing(held.request, request)
            if parts:
                return Expected(422, code="IDEMPOTENCY_KEY_REUSED", details={"differing": parts}), None
            gone = self.gone(held, now)
            if gone:
                return replace(gone, details=gone.details | {"sessionId": held.session_id}), None
            return Expected(200, held.view(now)), None
        config = DEFAULTS | sent
        if "warningThresholdMinutes" not in sent:
            config["warningThresholdMinutes"] = min(5, max(1, config["timeoutMinutes"] / 2))
        if "maxDurationMinutes" not in sent:
            config["maxDurationMinutes"] = max(720, config["timeoutMinutes"])
        record = Record(tenant, request, config, now)
        if held is not None:
            self.records.remove(held)
        self.records.append(record)
        if key is not None:
            self.keys[tenant, key] = record
        return Expected(201), record

    def get(self, tenant: str, session_id: str, now: int) -> Expected:
        record, refusal = self.live(tenant, session_id, now)
        return Expected(200, record.view(now)) if record else refusal

    def heartbeat(self, tenant: str, session_id: str, now: int) -> Expected:
        record, refusal = self.live(tenant, session_id, now)
        if record is None:
            return refusal
        record.activity = now
        if record.config["autoRenew"] and record.expires < record.ends:
            record.renewed = now
            record.renewals += 1
            record.lease += 1
        return Expected(200, record.view(now))

    def renew(self, tenant: str, session_id: str, now: int) -> Expected:
        record, refusal = self.live(tenant, session_id, now)
        if record is None:
            return refusal
        if record.expires == record.ends:
            return Expected(422, code="SESSION_RENEWAL_FAILED", details={"endsAt": iso(record.ends)})
        record.activity = record.renewed = now
        record.renewals += 1
        record.lease += 1
        return Expected(200, record.view(now))

    def patch(self, tenant: str, session_id: str, sent: Config, now: int) -> Expected:
        record, refusal = self.live(tenant, session_id, now)
        if record is None:
            return refusal
        wrong = self.faults(sent, record.config)
        if not wrong:
            ends = {
                "timeoutMinutes": record.renewed + duration((record.config | sent)["timeoutMinutes"]),
                "maxDurationMinutes": record.created + duration((record.config | sent)["maxDurationMinutes"]),
            }
            wrong = {name for name, moment in ends.items() if moment <= now}
        if wrong:
            return Expected(400, code="VALIDATION_ERROR", fields=frozenset(wrong))
        before = record.expires, record.expires == record.ends
        record.config = record.config | sent
        record.lease += (record.expires, record.expires == record.ends) != before
        return Expected(200, record.view(now))

    def patch_metadata(
        self, tenant: str, session_id: str, patch: dict[str, Any], version: str | None, now: int
    ) -> Expected:
        record, refusal = self.live(tenant, session_id, now)
        if record is None:
            return refusal
        present = record.view(now)["metadataVersion"]
        if version not in (None, present):
            return Expected(412, code="PRECONDITION_FAILED", details={"metadataVersion": present})
        record.metadata = merge_patch(record.metadata, patch)
        return Expected(200, record.view(now))

    def delete(self, tenant: str, session_id: str, now: int) -> Expected:
        record = self.find(tenant, session_id, now)
        if record is None:
            return NOT_FOUND
        self.records.remove(record)
        return Expected(200)

    def listed(self, tenant: str, now: int) -> list[dict[str, Any]]:
        """What all pages show together, newest first."""
        live = [record for record in self.records if record.tenant == tenant and record.expires > now]
        return [record.view(now) for record in sorted(live, key=lambda record: (-record.created, record.session_id))]
