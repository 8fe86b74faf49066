"""The command that makes, lists, revokes and rotates API keys: `python -m tools.keys create --tenant acme`.

It works on the local stack or, where one is named, on a deployed stack, with the AWS credentials of whoever runs it.
The local stack keeps its keys in its own process, so there the command goes over HTTP to `POST /_local/keys`, which
hands it to `agent_sessions.keys.commands`.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from typing import Any, Final, get_args

import boto3
from agent_sessions.bootstrap import callers, wiring
from agent_sessions.bootstrap.wiring import Wiring
from agent_sessions.clock import SystemClock
from agent_sessions.errors import ServiceUnavailable
from agent_sessions.keys.commands import Json, answer
from agent_sessions.keys.service import Scope
from botocore.exceptions import BotoCoreError, ClientError

ROUTE: Final = "/_local/keys"
TABLE_OUTPUT: Final = "ApiKeysTableName"
"""The output of the template that names the table."""
_TIMEOUT_SECONDS: Final = 300


class CommandFailedError(Exception):
    """The command could not be carried out; the message has the reason."""


def main(arguments: Sequence[str] | None = None) -> str | None:
    """Carry out the command line. A new key goes alone to standard output, all else about it to standard error."""
    options = vars(_parser().parse_args(arguments))
    stack, table, url = (options.pop(name) for name in ("stack", "table", "url"))
    if options.pop("from_stdin", False):
        options["leaked"] = sys.stdin.readline().strip()
    body = json.dumps({name: value for name, value in options.items() if value is not None}).encode()
    try:
        if stack or table:
            status, result = _ask_aws(body, table or _table_of(stack))
        else:
            status, result = _ask_local_stack(body, url)
    except (CommandFailedError, ServiceUnavailable, BotoCoreError, ClientError) as error:
        return f"{type(error).__name__}: {error}" if isinstance(error, BotoCoreError | ClientError) else str(error)
    if status != 200:  # noqa: PLR2004 - HTTP's OK
        return str(result.get("error", result))
    _show(result)
    return None


def _ask_aws(body: bytes, table: str) -> tuple[int, Json]:
    """Work on a table of the account that the credentials belong to."""
    clock = SystemClock()
    wiring.wire(Wiring(environ=os.environ | {"API_KEYS_TABLE": table}, clock=clock))
    return answer(callers.api_keys(), body, clock.now_ms())


def _table_of(stack: str) -> str:
    """Ask CloudFormation for the table of a deployed stack."""
    described: Any = boto3.client("cloudformation").describe_stacks(StackName=stack)
    outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Stacks"][0].get("Outputs", [])}
    if TABLE_OUTPUT not in outputs:
        raise CommandFailedError(f"The stack {stack} has no output {TABLE_OUTPUT}: is it one of agent-sessions?")
    return str(outputs[TABLE_OUTPUT])


def _ask_local_stack(body: bytes, url: str) -> tuple[int, Json]:
    """Hand the command to the local stack's own process."""
    connection = HTTPConnection(url.removeprefix("http://").rstrip("/"), timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("POST", ROUTE, body, {"content-type": "application/json"})
        response = connection.getresponse()
        result = json.loads(response.read())
    except (OSError, HTTPException, ValueError) as error:
        hint = "start one with `make run`, or name a deployed stack with --stack"
        raise CommandFailedError(f"No local stack answers at {url} ({type(error).__name__}): {hint}.") from error
    finally:
        connection.close()
    return response.status, result if isinstance(result, dict) else {"error": str(result)}


def _show(result: Json) -> None:
    """Print a new key alone to standard output, so that a script can take it; records as a table."""
    if "key" not in result:
        _print_table(result["records"], sys.stdout)
        return
    print(result["key"])
    _print_table(result["records"], sys.stderr)
    print("This is the only time the key is shown: it is stored as a hash.", file=sys.stderr)


def _print_table(records: Sequence[Json], file: Any) -> None:
    moments = ("createdAt", "expiresAt", "revokedAt")
    columns = ("id", "tenant", "name", "scope", "lastFour", "state", *moments, "replacedBy")
    rows = [columns, *([str(record.get(column, "-")) for column in columns] for record in records)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(columns))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), file=file)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.keys", description="Makes, lists and ends API keys.")
    parser.add_argument("--stack", help="a deployed stack, by its name in CloudFormation")
    parser.add_argument("--table", help="a deployed table of keys, by its name")
    local = f"http://127.0.0.1:{os.environ.get('PORT') or '3000'}"
    parser.add_argument("--url", default=local, help="the local stack (default: %(default)s)")
    actions = parser.add_subparsers(dest="action", required=True)

    create = actions.add_parser("create", help="make a key and print it, once")
    create.add_argument("--tenant", required=True)
    create.add_argument("--name", help="what the key is for")
    create.add_argument("--days", type=float, help="how long it works (default: until it is revoked)")
    create.add_argument("--scope", choices=get_args(Scope), help="what it may do (default: full)")

    listing = actions.add_parser("list", help="show a tenant's keys: never the keys themselves")
    listing.add_argument("--tenant", required=True)

    revoke = actions.add_parser("revoke", help="end a key; it stops working within five minutes")
    revoke.add_argument("--tenant")
    which = revoke.add_mutually_exclusive_group(required=True)
    which.add_argument("--id", help="as list shows it; needs --tenant")
    which.add_argument("--from-stdin", action="store_true", help="read a leaked key itself from standard input")

    rotate = actions.add_parser("rotate", help="make a successor of the same scope; the old key works on for a while")
    rotate.add_argument("--tenant", required=True)
    rotate.add_argument("--id", required=True, help="as list shows it")
    rotate.add_argument("--overlap-hours", type=float, help="how long both work (default: 24)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
