"""The calls for operators, as steps: policies, erasure, export. They need a key of scope `full`."""

import contextlib
from typing import Any
from urllib.parse import quote

from agent_sessions_client._caller import Caller, Id, Slice, address_of, given, page_request, query_of
from agent_sessions_client._retries import GoneAfterLossError
from agent_sessions_client._steps import Operation, Repeat, Request
from agent_sessions_client.operator_models import AgentPolicy, Bounds, Erasure, ExportPart

AGENTS = "/api/messaging/agents"
ERASURES = "/api/messaging/erasures"


class OperatorCalls(Caller):
    """Policies, erasure and export."""

    def set_policy(
        self,
        agent_id: Id,
        *,
        allowed: bool | None = None,
        auto_renew: bool | None = None,
        timeout_minutes: float | Bounds | None = None,
        max_duration_minutes: float | Bounds | None = None,
        warning_threshold_minutes: float | Bounds | None = None,
    ) -> Operation[AgentPolicy]:
        """Give an agent a policy for its sessions, in place of the one that it had. A number is the default.

        Raises:
            ValidationError: a value breaks a rule, or the policy contradicts itself.

        """
        body = given(
            allowed=allowed,
            autoRenew=auto_renew,
            timeoutMinutes=_bounds(timeout_minutes),
            maxDurationMinutes=_bounds(max_duration_minutes),
            warningThresholdMinutes=_bounds(warning_threshold_minutes),
        )
        request = Request("PUT", _policy_of(agent_id), Repeat.ALWAYS, body=body)
        return AgentPolicy.from_json((yield from self.json(request)))

    def get_policy(self, agent_id: Id) -> Operation[AgentPolicy]:
        """Read the policy of an agent.

        Raises:
            AgentNotFound: it has none.

        """
        return AgentPolicy.from_json((yield from self.json(Request("GET", _policy_of(agent_id), Repeat.ALWAYS))))

    def delete_policy(self, agent_id: Id) -> Operation[None]:
        """Take the policy of an agent away. Where a repeat finds none, it counts as taken away.

        Raises:
            AgentNotFound: it had none at the first attempt.

        """
        with contextlib.suppress(GoneAfterLossError):
            yield from self.json(Request("DELETE", _policy_of(agent_id), Repeat.ALWAYS))

    def list_policies(self, *, page_size: int | None = None) -> Operation[Slice[AgentPolicy]]:
        """Iterate over the policies of the tenant, in the order of the agents' ids."""
        query = query_of(limit=page_size)

        def page(cursor: str | None) -> Operation[Slice[AgentPolicy]]:
            body = yield from self.json(page_request(AGENTS, query, cursor))
            found = tuple(map(AgentPolicy.from_json, body["agents"]))
            following = body.get("nextCursor")
            return Slice(found, None if following is None else lambda: page(following))

        return page(None)

    def erase_user(self, user_id: Id) -> Operation[Erasure]:
        """Remove every session of a user that was created before this call, with its messages.

        The erasure goes on after the answer; `get_erasure` reports how far it is. It takes a minute at least.

        Raises:
            NoAnswer: the answer was lost. The erasure may have begun, so the call is not repeated. A second one
                removes what is left.

        """
        request = Request("POST", ERASURES, Repeat.WHEN_REFUSED, body={"userId": str(user_id)})
        return Erasure.from_json((yield from self.json(request)))

    def get_erasure(self, erasure_id: Id) -> Operation[Erasure]:
        """Return how far an erasure is, with a receipt once it is done.

        Raises:
            ErasureNotFound: there is no such erasure, or its record was removed.

        """
        return Erasure.from_json((yield from self.json(Request("GET", f"{ERASURES}/{erasure_id}", Repeat.ALWAYS))))

    def export_session(self, session_id: Id, *, expired: bool = False) -> Operation[Slice[ExportPart]]:
        """Iterate over the parts of an export: the session and its messages, oldest first, as the service stores them.

        `expired` also exports a session that has expired. An export ends before a message that is still being written.

        Raises:
            SessionExpired, SessionNotFound: the session has ended.

        """

        def part(cursor: str | None) -> Operation[Slice[ExportPart]]:
            query = query_of(cursor=cursor, expired="true" if expired else None)
            request = Request("GET", f"{address_of(session_id)}/export", Repeat.ALWAYS, query=query)
            found = ExportPart.from_json((yield from self.json(request)))
            goes_on = found.next_cursor is not None and found.next_cursor != cursor
            return Slice((found,), (lambda: part(found.next_cursor)) if goes_on else None)

        return part(None)


def _policy_of(agent_id: Id) -> str:
    return f"{AGENTS}/{quote(str(agent_id), safe='')}/session-policy"


def _bounds(setting: float | Bounds | None) -> float | dict[str, Any] | None:
    return setting.to_json() if isinstance(setting, Bounds) else setting
