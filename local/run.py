"""Starts the local stack and prints what to try."""

import os
import signal
import sys
import types

from agent_sessions.errors import SettingsError

from local.dynamodb_local import DynamoDbLocalError
from local.events import FilterPolicyError
from local.kept import KeptDataError
from local.options import OptionError, Options
from local.server import CannotListenError, Server, listen, url_of
from local.stack import LOG_DIR, LocalStack
from local.store import OtherSchemaError

_BODY = """'{"agentId":"11111111-1111-4111-8111-111111111111","userId":"22222222-2222-4222-8222-222222222222"}'"""


def run() -> int:
    """Run until interrupted; return the exit code."""
    try:
        options = Options.from_env(os.environ)
        listener = listen(options.host, options.port)
    except (OptionError, CannotListenError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    url = url_of(listener)
    stack = LocalStack(options, log_file=LOG_DIR / f"functions-{listener.getsockname()[1]}.log", url=url)
    try:
        with listener, stack.running():
            stack.show(_greeting(stack, url))
            signal.signal(signal.SIGTERM, _interrupt)
            Server(stack).run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    except FilterPolicyError as error:
        print(f"error: FORWARD_FILTER: {error}", file=sys.stderr)
        return 1
    except (SettingsError, DynamoDbLocalError, KeptDataError, OtherSchemaError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    stack.show("\nThe local stack has ended.")
    return 0


def _greeting(stack: LocalStack, url: str) -> str:
    options = stack.options
    where = "in memory" if options.store == "memory" else f"in {stack.data_dir} (DynamoDB Local)"
    key = f" \\\n    -H 'x-api-key: {stack.key}'" if stack.key else ""
    lines = [
        "",
        f"agent-sessions, the local stack: the deployed functions, with sessions {where}.",
        "",
        f"  page   {url}/" + (f"#key={stack.key}" if stack.key else ""),
        f"  docs   {url}/docs",
        f"  log    {stack.log.path}",
        *([f"  agent  {options.agent}"] if options.agent != "none" else []),
        *([f"  events to {options.forward_to}"] if options.forward_to else []),
        *([f"  key    {stack.key}   (tenant local)"] if stack.key else []),
        "",
        "Try this:",
        "",
        f"  curl -i {url}/api/messaging/sessions{key} \\",
        f"    -H 'content-type: application/json' -d {_BODY}",
        "",
        "Ctrl-C ends it.",
        "",
    ]
    if not options.is_loopback:
        warning = "Anyone who reaches this machine can use it" + ("." if options.auth else ", and needs no key.")
        lines[2:2] = [f"WARNING: it listens on {options.host}. {warning}"]
    if options.store == "dynamodb-local":
        lines[2:2] = ["WARNING: DynamoDB Local listens on all addresses of this machine and asks for no key."]
    return "\n".join(lines)


def _interrupt(_number: int, _frame: types.FrameType | None) -> None:
    raise KeyboardInterrupt
