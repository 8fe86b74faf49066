"""API Gateway's authorizer: its event (payload version 2.0) in, a simple response out."""

from collections.abc import Mapping
from typing import Any

from agent_sessions.keys.service import KeyService
from agent_sessions.telemetry.metrics import TelemetryPort


class ApiKeyAuthorizer:
    """Answers API Gateway's authorizer events and logs one line for each, without the key."""

    def __init__(self, keys: KeyService, telemetry: TelemetryPort) -> None:
        """Check keys by `keys`."""
        self._keys = keys
        self._telemetry = telemetry

    def handle(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one event: authorized with the tenant, id and scope of the key, or not authorized.

        Raises:
            ServiceUnavailable: the store does not answer. The gateway answers 500: nobody comes in.

        """
        allowed, reason, key = self._keys.verify(_presented_key(event))
        facts: dict[str, Any] = {"request_id": _request_id(event), "allowed": allowed, "reason": reason}
        if key is not None:
            facts |= {"tenant": key.tenant_id, "key": key.key_id}
        self._telemetry.line("key", facts)
        if key is None or not allowed:
            return {"isAuthorized": False}
        return {"isAuthorized": True, "context": {"tenantId": key.tenant_id, "keyId": key.key_id, "scope": key.scope}}


def _presented_key(event: Mapping[str, Any]) -> str:
    """Return the value by which the gateway remembers the answer, so that no answer serves another key."""
    sources = event.get("identitySource") or [""]
    return sources[0] if isinstance(sources, list) and isinstance(sources[0], str) else ""


def _request_id(event: Mapping[str, Any]) -> str:
    return str((event.get("requestContext") or {}).get("requestId", ""))
