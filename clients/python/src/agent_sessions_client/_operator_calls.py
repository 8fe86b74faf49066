"""The calls for operators, as steps: erasure of users. They need a key of scope `full`."""

from agent_sessions_client._caller import Caller, Id
from agent_sessions_client._steps import Operation, Repeat, Request
from agent_sessions_client.models import Erasure

ERASURES = "/api/messaging/erasures"


class OperatorCalls(Caller):
    """Erasure."""

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
