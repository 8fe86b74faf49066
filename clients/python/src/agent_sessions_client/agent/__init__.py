"""Write an agent as one function. It runs behind a queue, behind an HTTPS subscription, or beside `make run`.

>>> from agent_sessions_client import SessionsClient
>>> from agent_sessions_client.agent import Agent
>>> agent = Agent(SessionsClient("https://sessions.example.com", api_key="..."))
>>> @agent.on_message
... def answer(turn):
...     return f"You said: {turn.message.content}"
>>> handler = agent.lambda_handler  # for a queue of SQS
"""

from agent_sessions_client.agent.asgi import HttpsAgent
from agent_sessions_client.agent.core import Agent, Answer, Turn
from agent_sessions_client.agent.local import run_beside_local_stack

__all__ = ["Agent", "Answer", "HttpsAgent", "Turn", "run_beside_local_stack"]
