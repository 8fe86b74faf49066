"""Requests for erasures of users, and the answers. They stand apart from the others, as few starts serve one."""

import re
from collections.abc import Mapping
from typing import Any, Final

from agent_sessions.api.requests import UUID_PATTERN
from agent_sessions.erasure.ports import Erasure
from agent_sessions.erasure.users import UserErasures
from agent_sessions.errors import MISSING, FieldProblem, InvalidRequest
from agent_sessions.wire_format import compact, timestamp

_UUID: Final = re.compile(UUID_PATTERN[1:-1])


class ErasureApi:
    """Answers the routes of erasures."""

    def __init__(self, erasures: UserErasures) -> None:
        """Ask `erasures`."""
        self._erasures = erasures

    def request(self, tenant_id: str, body: Mapping[str, Any]) -> Erasure:
        """Begin the erasure that a body asks for. Raises as `UserErasures.request` does.

        Raises:
            InvalidRequest: `userId` is missing, or no UUID.

        """
        user_id = body.get("userId", MISSING)
        if not isinstance(user_id, str) or not _UUID.fullmatch(user_id):
            rule = "is required" if user_id is MISSING else "must be a UUID"
            raise InvalidRequest([FieldProblem("userId", rule, user_id)])
        return self._erasures.request(tenant_id, user_id)

    def get(self, tenant_id: str, erasure_id: str) -> Erasure:
        """Return an erasure. Raises as `UserErasures.get` does."""
        return self._erasures.get(tenant_id, erasure_id.lower())

    @staticmethod
    def json(erasure: Erasure) -> str:
        """Return an erasure as an answer has it (docs/contract.md, Erase a user)."""
        body: dict[str, Any] = {
            "erasureId": erasure.erasure_id,
            "status": "running",
            "requestedAt": timestamp(erasure.requested_at_ms),
            "sessions": erasure.sessions,
            "messages": erasure.messages,
        }
        if erasure.finished_at_ms is not None:
            body |= {
                "status": "done",
                "receipt": {
                    "requestedAt": timestamp(erasure.requested_at_ms),
                    "finishedAt": timestamp(erasure.finished_at_ms),
                    "userIdHash": erasure.user_hash,
                    "sessionsDigest": erasure.digest_hex,
                },
            }
        return compact(body)
