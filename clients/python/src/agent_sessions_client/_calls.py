"""Every call of the API, as steps. The two clients carry them out under the same names."""

from agent_sessions_client._message_calls import MessageCalls
from agent_sessions_client._operator_calls import OperatorCalls
from agent_sessions_client._session_calls import SessionCalls


class Calls(SessionCalls, MessageCalls, OperatorCalls):
    """All of them."""
