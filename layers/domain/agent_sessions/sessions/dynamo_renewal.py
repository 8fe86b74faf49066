"""Heartbeats and renewals as one conditional update: no read, and usually no index write.

DynamoDB adds an attribute of the item to a value, so an update can say "now plus the session's own timeout" without
anybody having read that timeout. The store of messages writes the same update with more to set. The moments that the
conditions compare, along one session's life:

    createdAt   lastActivity ≤ now      dueAt (warning)    expiresAt       endsAt
    ───┼────────────┼──────────┼────────────┼─────────────────┼──────────────┼───▶
                                            └ after the warning dueAt = expiresAt

Example: created at 12:00 with T = 30 minutes, M = 60, a threshold of 5; so timeoutMs is 30 minutes, warnAfterMs 25,
warningMs 5, renewableUntil 12:30, endsAt 13:00. A heartbeat at 12:10 takes the usual path: 12:10 < renewableUntil, and
dueAt 12:25 < expiresAt 12:30. It sets expiresAt = 12:10 + timeoutMs = 12:40 and leaves dueAt at 12:25, where the sweep
finds the session and moves its appointment to 12:35. After that, at 12:36, the warning is out and dueAt = expiresAt =
12:40. A heartbeat at 12:38 is refused by `renewableUntil > now`; the next attempt goes to the cap: expiresAt = 13:00,
dueAt = endsAt - warningMs = 12:55.
"""

from typing import Final, NamedTuple

from agent_sessions.sessions import dynamo_item as items
from agent_sessions.sessions.dynamo_item import Item, number
from agent_sessions.sessions.leases import Renewal, RenewalPath

# The conditions, each half by its name.
OWNED: Final = "tenantId = :tenant"
NOT_CLOSED: Final = f"{items.LISTED_AT} = {items.CREATED_AT}"
ALIVE: Final = "expiresAt > :now"
NOT_WARNED: Final = f"{items.DUE_AT} < expiresAt"
WARNED: Final = f"{items.DUE_AT} >= expiresAt"
# lastActivity is never before renewedAt, so this also keeps a renewal from going back in time.
_NOT_BACK_IN_TIME: Final = "lastActivity <= :now"
_AUTO_RENEWS: Final = "autoRenew = :true"
# When another function's clock is ahead, the activity that it recorded stands for now, inside DynamoDB: a retry with a
# time that was read would lose to the next caller whose clock is ahead. This condition only ever becomes truer.
_OVERTAKEN: Final = "lastActivity >= :overtaken"


class Update(NamedTuple):
    """One conditional update of a session: what is set, under which conditions, with which values."""

    sets: list[str]
    conditions: list[str]
    values: Item
    removes: tuple[str, ...] = ()

    @property
    def expression(self) -> str:
        """The update expression."""
        removes = " REMOVE " + ", ".join(self.removes) if self.removes else ""
        return "SET " + ", ".join(self.sets) + removes

    @property
    def condition(self) -> str:
        """The condition expression."""
        return " AND ".join(self.conditions)


def renewal_update(tenant_id: str, attempt: Renewal, now_ms: int) -> Update:
    """Return the update that carries out `attempt` at `now_ms` for a session of the tenant."""
    values = {":tenant": {"S": tenant_id}, ":now": number(now_ms)}
    if attempt.overtaken_at_ms is None:
        sets, conditions = _RENEWALS[attempt.path]
    else:
        sets, conditions = _OVERTAKEN_RENEWALS[attempt.path]
        values[":overtaken"] = number(attempt.overtaken_at_ms)
    if attempt.path is RenewalPath.ACTIVITY_ONLY:
        values[":false"] = {"BOOL": False}
    else:
        values[":one"] = number(1)
        if not attempt.manual:
            conditions = [*conditions, _AUTO_RENEWS]
            values[":true"] = {"BOOL": True}
    return Update(sets, conditions, values)


def _renewals(moment: str) -> dict[RenewalPath, tuple[list[str], list[str]]]:
    """Return path -> (what is set, conditions) of a renewal at `moment`: a parameter, or an attribute of the item."""
    in_time = _NOT_BACK_IN_TIME if moment == ":now" else _OVERTAKEN
    alive_and_ours = [OWNED, NOT_CLOSED, ALIVE, in_time]
    whole_timeout_fits = f"renewableUntil > {moment}"  # strictly: at equality the lease would end at the cap
    only_the_rest_fits = [f"renewableUntil <= {moment}", "expiresAt < endsAt"]
    recorded = ["lastActivity = :now"] if moment == ":now" else []
    renewed = [*recorded, f"renewedAt = {moment}", "renewalCount = renewalCount + :one", "lease = lease + :one"]
    paths = {
        RenewalPath.USUAL: (
            [f"expiresAt = {moment} + timeoutMs", *renewed],
            [*alive_and_ours, whole_timeout_fits, NOT_WARNED],
        ),
        RenewalPath.AFTER_WARNING: (
            [f"expiresAt = {moment} + timeoutMs", f"{items.DUE_AT} = {moment} + warnAfterMs", *renewed],
            [*alive_and_ours, whole_timeout_fits, WARNED],
        ),
        RenewalPath.TO_CAP: (
            ["expiresAt = endsAt", f"{items.DUE_AT} = endsAt - warningMs", *renewed],
            [*alive_and_ours, *only_the_rest_fits],
        ),
        # An appointment that is too early does no harm, one in the past would make the sweep look late.
        RenewalPath.INTO_WARNING: (
            ["expiresAt = endsAt", f"{items.DUE_AT} = {moment}", *renewed],
            [*alive_and_ours, *only_the_rest_fits],
        ),
    }
    # Overtaken, it sets nothing: a heartbeat then writes nothing at all, and a message only what is its own.
    paths[RenewalPath.ACTIVITY_ONLY] = (
        recorded,
        [*alive_and_ours, "(autoRenew = :false OR expiresAt = endsAt)"],
    )
    return paths


_RENEWALS: Final = _renewals(":now")
_OVERTAKEN_RENEWALS: Final = _renewals("lastActivity")
