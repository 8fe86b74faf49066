"""The calls for operators, as steps: erasure and export. They need a key of scope `full`."""

from agent_sessions_client._caller import Caller, Id, Slice, address_of, query_of
from agent_sessions_client._steps import Operation, Repeat, Request
from agent_sessions_client.operator_models import Erasure, ExportPart

ERASURES = "/api/messaging/erasures"


class OperatorCalls(Caller):
    """Erasure and export."""

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
