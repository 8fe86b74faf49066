"""Requests about agents' policies, and the answers. They stand apart from the others, as few starts serve one."""

from collections.abc import Mapping
from typing import Any, Final

from agent_sessions.api.list_query import page_size
from agent_sessions.api.requests import is_uuid
from agent_sessions.errors import FieldProblem, InvalidRequest
from agent_sessions.policies.model import AgentPolicy, Span, TimeoutRules, Wish, agent_rules
from agent_sessions.policies.service import AgentPolicies
from agent_sessions.settings import whole
from agent_sessions.wire_format import compact, timestamp

NUMBERS: Final = {
    "timeoutMinutes": "timeout",
    "maxDurationMinutes": "max_duration",
    "warningThresholdMinutes": "warning_threshold",
}
"""The numbers of a policy in JSON, and in `AgentPolicy` and `TimeoutRules`."""
_ENDS: Final = {"default": "default", "min": "low", "max": "high"}
FIELDS: Final = ("allowed", "autoRenew", *NUMBERS)


class PolicyApi:
    """Answers the routes of agents' policies."""

    def __init__(self, policies: AgentPolicies, service: TimeoutRules) -> None:
        """Ask `policies`; `service` are the bounds that every policy keeps."""
        self._policies = policies
        self._service = service

    def page(self, tenant_id: str, query: Mapping[str, str]) -> str:
        """Answer with a page of the tenant's policies.

        Raises:
            InvalidRequest: the limit or the cursor is malformed.

        """
        problems: list[FieldProblem] = []
        limit = page_size(query, problems)
        after = query.get("cursor") or None
        if after is not None and not is_uuid(after):
            problems.append(FieldProblem("cursor", "must be the nextCursor of a page before", after))
        if problems:
            raise InvalidRequest(problems)
        page = self._policies.page(tenant_id, limit, after.lower() if after else None)
        body: dict[str, Any] = {"agents": [_json(policy) for policy in page.policies]}
        if page.next_after is not None:
            body["nextCursor"] = page.next_after
        return compact(body)

    def get(self, tenant_id: str, agent_id: str) -> str:
        """Answer with an agent's policy. Raises as `AgentPolicies.get` does; `InvalidRequest` for a malformed id."""
        return compact(_json(self._policies.get(tenant_id, _checked_id(agent_id))))

    def put(self, tenant_id: str, agent_id: str, body: Mapping[str, Any]) -> str:
        """Give an agent a policy, and answer with it. Raises as `AgentPolicies.put` does.

        Raises:
            InvalidRequest: with every field at fault.

        """
        return compact(_json(self._policies.put(tenant_id, self._policy(_checked_id(agent_id), body))))

    def delete(self, tenant_id: str, agent_id: str) -> str:
        """Take an agent's policy away. Raises as `get` does."""
        agent_id = _checked_id(agent_id)
        self._policies.delete(tenant_id, agent_id)
        data = {"success": True, "agentId": agent_id}
        return compact({"success": True, "message": "The agent has no policy any more.", "data": data})

    def _policy(self, agent_id: str, body: Mapping[str, Any]) -> AgentPolicy:
        if body and not any(name in body for name in FIELDS):
            rule = f"must be empty or have at least one of {', '.join(FIELDS)}"
            raise InvalidRequest([FieldProblem("body", rule, dict(body))])
        problems = [
            FieldProblem(name, "must be true or false", body[name])
            for name in ("allowed", "autoRenew")
            if name in body and not isinstance(body[name], bool)
        ]
        wishes = {
            field: _wish(name, body[name], getattr(self._service, field), problems) if name in body else Wish()
            for name, field in NUMBERS.items()
        }
        policy = AgentPolicy(agent_id, 0, body.get("allowed", True), body.get("autoRenew"), **wishes)
        if not problems:
            problems = self._contradictions(policy)
        if problems:
            raise InvalidRequest(problems)
        return policy

    def _contradictions(self, policy: AgentPolicy) -> list[FieldProblem]:
        """Return what is wrong with the numbers of a policy together."""
        timeout, longest, threshold = policy.timeout, policy.max_duration, policy.warning_threshold
        rules = agent_rules(policy, self._service)
        least = max(timeout.low or self._service.timeout.low, rules.warning_threshold.low)
        most = min(timeout.high or self._service.timeout.high, rules.max_duration.high)
        if least > most:
            rule = f"must leave a timeout that is at least {least} and at most {most}, as the other bounds ask"
            return [FieldProblem("timeoutMinutes", rule, _shown(timeout))]
        problems = []
        if timeout.default is not None and timeout.default != rules.timeout.default:
            rule = f"must have a default from {rules.timeout.low} to {rules.timeout.high}, as the other bounds ask"
            problems.append(FieldProblem("timeoutMinutes", rule, _shown(timeout)))
        own = rules.timeout.default
        if longest.default is not None and longest.default < own:
            rule = f"must have a default of at least the timeout of {own}"
            problems.append(FieldProblem("maxDurationMinutes", rule, _shown(longest)))
        if threshold.default is not None and threshold.default > own:
            rule = f"must have a default of at most the timeout of {own}"
            problems.append(FieldProblem("warningThresholdMinutes", rule, _shown(threshold)))
        return problems


def _checked_id(agent_id: str) -> str:
    """Return an agent's id in lower case.

    Raises:
        InvalidRequest: it is no UUID.

    """
    if not is_uuid(agent_id):
        raise InvalidRequest([FieldProblem("agentId", "must be a UUID", agent_id)])
    return agent_id.lower()


def _wish(name: str, sent: object, span: Span, problems: list[FieldProblem]) -> Wish:
    """Read a number of a policy, which is a default or an object of a default and bounds; collect what is wrong."""
    ends = sent if isinstance(sent, dict) else {"default": sent}
    path = f"{name}." if isinstance(sent, dict) else name
    found = {}
    if not any(end in ends for end in _ENDS):
        problems.append(FieldProblem(name, "must be a number or have at least one of default, min, max", sent))
    for end, field in _ENDS.items():
        if end not in ends:
            continue
        value = ends[end]
        if isinstance(value, bool) or not isinstance(value, int | float) or not span.low <= value <= span.high:
            where = f"{path}{end}" if isinstance(sent, dict) else path
            problems.append(FieldProblem(where, f"must be a number from {span.low} to {span.high}", value))
        else:
            found[field] = whole(value)
    wish = Wish(**found)
    low = span.low if wish.low is None else wish.low
    high = span.high if wish.high is None else wish.high
    if low > high:
        problems.append(FieldProblem(f"{path}max", f"must be at least the min of {low}", high))
    elif wish.default is not None and not low <= wish.default <= high:
        problems.append(FieldProblem(f"{path}default", f"must be from {low} to {high}", wish.default))
    return wish


def _shown(wish: Wish) -> Any:  # noqa: ANN401 - a number or an object, as it may be sent
    """Return a number of a policy as a caller may send it."""
    ends = {end: getattr(wish, field) for end, field in _ENDS.items() if getattr(wish, field) is not None}
    return wish.default if ends.keys() == {"default"} else ends


def _json(policy: AgentPolicy) -> dict[str, Any]:
    """Return a policy as answers have it: what it leaves to the service is left out."""
    numbers = {name: _shown(getattr(policy, field)) for name, field in NUMBERS.items()}
    body: dict[str, Any] = {"agentId": policy.agent_id, "allowed": policy.allowed}
    if policy.auto_renew is not None:
        body["autoRenew"] = policy.auto_renew
    body |= {name: shown for name, shown in numbers.items() if shown != {}}
    return body | {"updatedAt": timestamp(policy.updated_at_ms)}
