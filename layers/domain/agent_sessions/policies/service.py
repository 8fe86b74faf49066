"""The use cases of agents' policies: which one holds for a session, and what a tenant does with them.

A process remembers what it read for less than a minute, so that a policy that was changed holds everywhere within one.
"""

from typing import Final, NamedTuple, Protocol

from agent_sessions.clock import Clock
from agent_sessions.errors import AgentNotFound
from agent_sessions.policies.model import AgentPolicy

REMEMBERED_MS: Final = 55_000
"""How long a policy that was read, or that there is none, holds in a process, in milliseconds.

A create that begins at the end of it may take some seconds more, and a changed policy must hold within a minute.
"""
MOST_REMEMBERED: Final = 1_000
"""Agents that a process remembers at a time."""


class PolicyPage(NamedTuple):
    """Policies in the order of their agents' ids, and the id to go on after; None on the last page."""

    policies: list[AgentPolicy]
    next_after: str | None


class PolicyStore(Protocol):
    """Where policies are kept. Every method is one call, and raises `ServiceUnavailable` when it fails."""

    def get(self, tenant_id: str, agent_id: str) -> AgentPolicy | None:
        """Read the policy of an agent, as last written."""
        ...

    def put(self, tenant_id: str, policy: AgentPolicy) -> None:
        """Write a policy, whatever was there."""
        ...

    def delete(self, tenant_id: str, agent_id: str) -> bool:
        """Remove the policy of an agent; return whether there was one."""
        ...

    def page(self, tenant_id: str, limit: int, after: str | None) -> PolicyPage:
        """Read the policies of a tenant behind an agent's id, `limit` at most."""
        ...


class _Known(NamedTuple):
    policy: AgentPolicy | None
    read_at_ms: int


class AgentPolicies:
    """Policies of agents, each within one tenant. Ids of agents are in lower case here."""

    def __init__(self, store: PolicyStore, clock: Clock, *, required: bool) -> None:
        """Use `store`. Where `required`, an agent without a policy may have no sessions."""
        self._store = store
        self._clock = clock
        self._required = required
        self._known: dict[tuple[str, str], _Known] = {}

    def in_force(self, tenant_id: str, agent_id: str) -> AgentPolicy | None:
        """Return the policy that holds for an agent; None where it has none. One read, or none for `REMEMBERED_MS`.

        Raises:
            ServiceUnavailable: the store does not answer.

        """
        key = tenant_id, agent_id
        now_ms = self._clock.now_ms()
        known = self._known.get(key)
        if known is None or not 0 <= now_ms - known.read_at_ms < REMEMBERED_MS:
            known = _Known(self._store.get(tenant_id, agent_id), now_ms)
            self._known.pop(key, None)
            if len(self._known) >= MOST_REMEMBERED:
                self._known.pop(next(iter(self._known)))
            self._known[key] = known
        return known.policy

    def allows(self, policy: AgentPolicy | None) -> bool:
        """Return whether an agent with this policy may have new sessions."""
        return not self._required if policy is None else policy.allowed

    def get(self, tenant_id: str, agent_id: str) -> AgentPolicy:
        """Read the policy of an agent, as last written.

        Raises:
            AgentNotFound: it has none.
            ServiceUnavailable: the store does not answer.

        """
        policy = self._store.get(tenant_id, agent_id)
        if policy is None:
            raise AgentNotFound
        return policy

    def put(self, tenant_id: str, policy: AgentPolicy) -> AgentPolicy:
        """Give an agent a policy in place of the one that it had; return it with the time of the change.

        Raises:
            ServiceUnavailable: the store does not answer; the policy may have been written.

        """
        policy = policy._replace(updated_at_ms=self._clock.now_ms())
        self._known.pop((tenant_id, policy.agent_id), None)
        self._store.put(tenant_id, policy)
        return policy

    def delete(self, tenant_id: str, agent_id: str) -> None:
        """Take an agent's policy away. Raises as `get` does."""
        self._known.pop((tenant_id, agent_id), None)
        if not self._store.delete(tenant_id, agent_id):
            raise AgentNotFound

    def page(self, tenant_id: str, limit: int, after: str | None) -> PolicyPage:
        """Return a page of the tenant's policies.

        Raises:
            ServiceUnavailable: the store does not answer.

        """
        return self._store.page(tenant_id, limit, after)
