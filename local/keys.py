"""The command that makes, lists, revokes and rotates API keys: `python -m local.keys create --tenant acme`.

It works on the local stack unless it is told a deployed one, with the AWS credentials of whoever runs it. The local
stack keeps its keys in its own process, so there the command goes over HTTP to `POST /_local/keys`, which hands it to
`answer`.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from typing import Annotated, Any, Final, Literal

import boto3
from agent_sessions import bootstrap
from agent_sessions.bootstrap import Wiring
from agent_sessions.clock import SystemClock
from agent_sessions.errors import ServiceUnavailable
from agent_sessions.formats import timestamp
from agent_sessions.keys import ApiKey, ApiKeyError, KeyService, NewKey
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

ROUTE: Final = "/_local/keys"
TABLE_OUTPUT: Final = "ApiKeysTableName"
"""The output of the template that names the table."""
_MS_PER_HOUR: Final = 3_600_000
_TIMEOUT_SECONDS: Final = 10

Json = dict[str, Any]


class _Command(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Create(_Command):
    """Make a key."""

    action: Literal["create"]
    tenant: str
    name: str = "default"
    days: Annotated[float, Field(gt=0, le=3650)] | None = None


class List(_Command):
    """Show a tenant's keys."""

    action: Literal["list"]
    tenant: str


class Revoke(_Command):
    """End a key: the tenant's one of this id, or `leaked`, a key itself."""

    action: Literal["revoke"]
    tenant: str = ""
    id: str = ""
    leaked: str | None = Field(None, repr=False)


class Rotate(_Command):
    """Make a successor of a key, which goes on for a while."""

    action: Literal["rotate"]
    tenant: str
    id: str
    overlap_hours: Annotated[float, Field(ge=0, le=8760)] = 24


Command = Annotated[Create | List | Revoke | Rotate, Field(discriminator="action")]
_COMMAND: Final[TypeAdapter[Create | List | Revoke | Rotate]] = TypeAdapter(Command)


def answer(keys: KeyService, body: bytes, now_ms: int) -> tuple[int, Json]:
    """Carry out a command that came as JSON; return an HTTP status and what to say."""
    try:
        return 200, execute(keys, _COMMAND.validate_json(body), now_ms)
    except ValidationError as error:
        return 400, {"error": "; ".join(_fault(fault) for fault in error.errors(include_input=False))}
    except ApiKeyError as error:
        return 400, {"error": str(error)}


def execute(keys: KeyService, command: Create | List | Revoke | Rotate, now_ms: int) -> Json:
    """Carry out a command; `key` is the text of a new one, `records` what is kept of each key concerned."""
    match command:
        case Create():
            lifetime_ms = None if command.days is None else round(command.days * 24 * _MS_PER_HOUR)
            return _made(keys.create(command.tenant, command.name, lifetime_ms), now_ms)
        case Rotate():
            return _made(keys.rotate(command.tenant, command.id, round(command.overlap_hours * _MS_PER_HOUR)), now_ms)
        case Revoke():
            leaked = command.leaked
            ended = keys.revoke(command.tenant, command.id) if leaked is None else keys.revoke_leaked(leaked)
            return {"records": [_record(ended, now_ms)]}
        case List():
            return {"records": [_record(key, now_ms) for key in keys.of_tenant(command.tenant)]}


def _made(key: NewKey, now_ms: int) -> Json:
    return {"key": key.text, "records": [_record(key.record, now_ms)]}


def _record(key: ApiKey, now_ms: int) -> Json:
    moments = {"createdAt": key.created_at_ms, "expiresAt": key.expires_at_ms, "revokedAt": key.revoked_at_ms}
    return {
        "id": key.key_id,
        "tenant": key.tenant_id,
        "name": key.name,
        "lastFour": key.last_four,
        "state": key.state(now_ms),
        **{name: timestamp(at_ms) for name, at_ms in moments.items() if at_ms is not None},
        **({"replacedBy": key.replaced_by} if key.replaced_by else {}),
    }


def _fault(fault: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in fault["loc"])
    return f"{where}: {fault['msg']}" if where else str(fault["msg"])


# ---------------------------------------------------------------------------------------------------------------------


class CommandFailedError(Exception):
    """The command could not be carried out; the message says why."""


def main(arguments: Sequence[str] | None = None) -> str | None:
    """Carry out the command line. A new key goes to standard output, alone; all else that is told of it to error."""
    options = vars(_parser().parse_args(arguments))
    stack, table, url = (options.pop(name) for name in ("stack", "table", "url"))
    if options.pop("from_stdin", False):
        options["leaked"] = sys.stdin.readline().strip()
    body = json.dumps({name: value for name, value in options.items() if value is not None}).encode()
    try:
        if stack or table:
            status, said = _ask_aws(body, table or _table_of(stack))
        else:
            status, said = _ask_local_stack(body, url)
    except (CommandFailedError, ServiceUnavailable, BotoCoreError, ClientError) as error:
        return f"{type(error).__name__}: {error}" if isinstance(error, BotoCoreError | ClientError) else str(error)
    if status != 200:  # noqa: PLR2004 - HTTP's OK
        return str(said.get("error", said))
    _show(said)
    return None


def _ask_aws(body: bytes, table: str) -> tuple[int, Json]:
    """Work on a table of the account that the credentials belong to."""
    clock = SystemClock()
    bootstrap.wire(Wiring(environ=os.environ | {"API_KEYS_TABLE": table}, clock=clock))
    return answer(bootstrap.api_keys(), body, clock.now_ms())


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
        said = json.loads(response.read())
    except (OSError, HTTPException, ValueError) as error:
        hint = "start one with `make run`, or name a deployed stack with --stack"
        raise CommandFailedError(f"No local stack answers at {url} ({type(error).__name__}): {hint}.") from error
    finally:
        connection.close()
    return response.status, said if isinstance(said, dict) else {"error": str(said)}


def _show(said: Json) -> None:
    """Print a new key alone to standard output, so that a script can take it; records as a table."""
    if "key" not in said:
        _print_table(said["records"], sys.stdout)
        return
    print(said["key"])
    _print_table(said["records"], sys.stderr)
    print("This is the only time the key is shown: it is stored as a hash.", file=sys.stderr)


def _print_table(records: Sequence[Json], file: Any) -> None:
    columns = ("id", "tenant", "name", "lastFour", "state", "createdAt", "expiresAt", "revokedAt", "replacedBy")
    rows = [columns, *([str(record.get(column, "-")) for column in columns] for record in records)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(columns))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), file=file)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local.keys", description="Makes, lists and ends API keys.")
    parser.add_argument("--stack", help="a deployed stack, by its name in CloudFormation")
    parser.add_argument("--table", help="a deployed table of keys, by its name")
    local = f"http://127.0.0.1:{os.environ.get('PORT') or '3000'}"
    parser.add_argument("--url", default=local, help="the local stack (default: %(default)s)")
    actions = parser.add_subparsers(dest="action", required=True)

    create = actions.add_parser("create", help="make a key and print it, once")
    create.add_argument("--tenant", required=True)
    create.add_argument("--name", help="what the key is for")
    create.add_argument("--days", type=float, help="how long it is good (default: until it is revoked)")

    listing = actions.add_parser("list", help="show a tenant's keys: never the keys themselves")
    listing.add_argument("--tenant", required=True)

    revoke = actions.add_parser("revoke", help="end a key; it stops working within five minutes")
    revoke.add_argument("--tenant")
    which = revoke.add_mutually_exclusive_group(required=True)
    which.add_argument("--id", help="as list shows it; needs --tenant")
    which.add_argument("--from-stdin", action="store_true", help="read a leaked key itself from standard input")

    rotate = actions.add_parser("rotate", help="make a successor; the old key goes on for a while")
    rotate.add_argument("--tenant", required=True)
    rotate.add_argument("--id", required=True, help="as list shows it")
    rotate.add_argument("--overlap-hours", type=float, help="how long both are good (default: 24)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
