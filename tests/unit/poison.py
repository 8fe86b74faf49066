"""Bad items, and calls that fail for ever for some sessions: what tests put among healthy sessions."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from agent_sessions.sessions import dynamo_item as items
from botocore.exceptions import ConnectionClosedError

from local.dynamo.refusals import Refused
from tests.engines.faults import Hook

Item = dict[str, Any]
Change = Callable[[Item], Item]

TEXTS: Final = ("tenantId", "agentId", "userId", "metadata")
MOMENTS: Final = ("createdAt", "lastActivity", "renewedAt", "expiresAt", "endsAt")
COUNTS: Final = ("renewalCount", "lease")
MINUTES: Final = ("timeoutMinutes", "maxDurationMinutes", "warningThresholdMinutes")
BYTES: Final = ("requestHash", "attempt")


def _without(name: str) -> Change:
    return lambda item: {other: value for other, value in item.items() if other != name}


def _with(name: str, value: Mapping[str, Any]) -> Change:
    return lambda item: {**item, name: dict(value)}


def _fraction(name: str) -> Change:
    return lambda item: {**item, name: {"N": f"{item[name]['N']}.25"}}


def _four_attributes(item: Item) -> Item:
    return {name: item[name] for name in (items.SESSION_ID, items.DUE_SHARD, items.DUE_AT, "lease")}


BAD_ITEMS: Final[Mapping[str, Change]] = {
    **{f"{name} is missing": _without(name) for name in (*TEXTS, *MOMENTS, *COUNTS, *MINUTES, *BYTES, "autoRenew")},
    **{f"{name} has a fraction": _fraction(name) for name in (*MOMENTS, *COUNTS, items.DUE_AT)},
    **{f"{name} is text": _with(name, {"S": "soon"}) for name in (*MOMENTS, *COUNTS, *MINUTES, "autoRenew")},
    **{f"{name} is a number": _with(name, {"N": "7"}) for name in TEXTS},
    "agentId is null": _with("agentId", {"NULL": True}),
    "metadata is a map": _with("metadata", {"M": {}}),
    "metadata is no JSON": _with("metadata", {"S": '{"a": '}),
    "metadata is a list": _with("metadata", {"S": "[1]"}),
    "metadata has NaN": _with("metadata", {"S": '{"a": NaN}'}),
    "endsAt is after the year 9999": _with("endsAt", {"N": "1000000000000000000"}),
    "expiresAt is before the big bang": _with("expiresAt", {"N": "-1000000000000000000000000000000"}),
    "createdAt has an exponent": _with("createdAt", {"N": "1E+100"}),
    "dueAt is before the big bang": _with(items.DUE_AT, {"N": "-1E+100"}),
    "there are four attributes": _four_attributes,
    "userId has 300 KB": _with("userId", {"S": "u" * 300_000}),
}
"""Items that no event can be made or sent of, by what is wrong with them."""


class _About(Hook):
    """A hook that acts on what concerns some sessions, of whichever call."""

    def __init__(self, session_ids: set[str]) -> None:
        self.session_ids = session_ids

    def _concerns(self, thing: object) -> bool:
        text = str(thing)
        return any(session_id in text for session_id in self.session_ids)


class _CallFails(_About):
    """Every call that one of the sessions is in fails as a whole."""

    def __init__(self, session_ids: set[str], call: str, error: Callable[[], Exception]) -> None:
        super().__init__(session_ids)
        self._call = call
        self._error = error

    def before(self, call: str, request: Mapping[str, Any]) -> None:
        if call == self._call and self._concerns(request):
            raise self._error()


class _EntryIsLeft(_About):
    """One entry of a batch is left undone, as the engine says it of a busy service."""

    def __init__(self, session_ids: set[str], call: str) -> None:
        super().__init__(session_ids)
        self._call = call

    def refuses(self, call: str, entry: Mapping[str, Any]) -> bool:
        return call == self._call and self._concerns(entry)


class _MessageFails(_About):
    """One message of a batch is answered with this code."""

    def __init__(self, session_ids: set[str], code: str, *, sender_fault: bool) -> None:
        super().__init__(session_ids)
        self._failure = {"Code": code, "Message": "no", "SenderFault": sender_fault}

    def after(self, call: str, request: Mapping[str, Any], response: dict[str, Any]) -> None:
        if call == "publish_batch":
            for entry in request["PublishBatchRequestEntries"]:
                if self._concerns(entry["Message"]):
                    response["Failed"].append({"Id": entry["Id"], **self._failure})


class _StatementFails(_About):
    """One statement of a batch is answered with this code."""

    def __init__(self, session_ids: set[str], code: str) -> None:
        super().__init__(session_ids)
        self._code = code

    def after(self, call: str, request: Mapping[str, Any], response: dict[str, Any]) -> None:
        if call == "batch_execute_statement":
            for statement, answer in zip(request["Statements"], response["Responses"], strict=True):
                if self._concerns(statement):
                    answer["Error"] = {"Code": self._code, "Message": "no"}


def _lost() -> Exception:
    return ConnectionClosedError(endpoint_url="https://fake")


def _refused(code: str) -> Callable[[], Exception]:
    return lambda: Refused(code, "made to fail")


BAD_CALLS: Final[Mapping[str, Callable[[set[str]], Hook]]] = {
    "its key stays unprocessed": lambda ids: _EntryIsLeft(ids, "batch_get_item"),
    "reads with it are throttled": lambda ids: _CallFails(ids, "batch_get_item", _refused("ThrottlingException")),
    "reads with it are refused": lambda ids: _CallFails(ids, "batch_get_item", _refused("ValidationException")),
    "its message stays busy": lambda ids: _EntryIsLeft(ids, "publish_batch"),
    "its message is throttled": lambda ids: _MessageFails(ids, "Throttled", sender_fault=True),
    "its message is refused": lambda ids: _MessageFails(ids, "InvalidParameter", sender_fault=True),
    "publishing with it fails": lambda ids: _CallFails(ids, "publish_batch", _refused("InternalError")),
    "publishing with it is refused": lambda ids: _CallFails(ids, "publish_batch", _refused("InvalidParameter")),
    "publishing with it loses the connection": lambda ids: _CallFails(ids, "publish_batch", _lost),
    "its mark stays busy": lambda ids: _EntryIsLeft(ids, "batch_execute_statement"),
    "its mark is refused": lambda ids: _StatementFails(ids, "ValidationError"),
    "marks with it are throttled": lambda ids: _CallFails(
        ids, "batch_execute_statement", _refused("ThrottlingException")
    ),
    "marks with it are refused": lambda ids: _CallFails(
        ids, "batch_execute_statement", _refused("ValidationException")
    ),
}
"""Calls that fail for ever for the sessions named, by what happens."""

REFUSED_WHOLE: Final = frozenset({"reads with it are refused", "marks with it are refused"})
"""Their error was not foreseen. A run that makes no other call of the kind cannot know whose fault it is: it fails."""
