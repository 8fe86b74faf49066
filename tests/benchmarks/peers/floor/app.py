"""The floor: msgspec for JSON, requests to DynamoDB signed by hand (Signature Version 4), one kept connection, no SDK.

It does what is measured of the service and nothing else: create, get and heartbeat, with the same checks, the same item
and the same conditions. It has no retries, no error translation and no credentials but the environment's: it tells what
the least is that such a function costs, and is no proposal.
"""

import hashlib
import hmac
import os
import time
from base64 import b64encode
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from re import fullmatch
from typing import Annotated, Any

import msgspec
from item import RETENTION_MS, UUID_PATTERN, new_item

BASE = "/api/messaging/sessions"
TABLE = os.environ["SESSIONS_TABLE"]
REGION = os.environ["AWS_REGION"]
ENDPOINT = os.environ.get("AWS_ENDPOINT_URL_DYNAMODB") or f"https://dynamodb.{REGION}.amazonaws.com"
SECURE, _, HOST = ENDPOINT.partition("://")
connection = HTTPSConnection(HOST, timeout=1) if SECURE == "https" else HTTPConnection(HOST, timeout=1)

Uuid = Annotated[str, msgspec.Meta(pattern=UUID_PATTERN)]
Item = dict[str, Any]


class TimeoutConfig(msgspec.Struct, rename="camel"):
    timeout_minutes: Annotated[float, msgspec.Meta(ge=5, le=1440)] = 30
    auto_renew: bool = True
    max_duration_minutes: Annotated[float, msgspec.Meta(ge=5, le=2880)] = 720
    warning_threshold_minutes: Annotated[float, msgspec.Meta(ge=1)] = 5

    def __post_init__(self) -> None:
        if not self.warning_threshold_minutes <= self.timeout_minutes <= self.max_duration_minutes:
            raise ValueError("the threshold must fit the timeout, and the timeout the duration")


class NewSession(msgspec.Struct, rename="camel"):
    agent_id: Uuid
    user_id: Uuid
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    timeout_config: TimeoutConfig = msgspec.field(default_factory=TimeoutConfig)


decode_body = msgspec.json.Decoder(NewSession).decode
decode = msgspec.json.Decoder().decode
encode = msgspec.json.encode


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    context = event["requestContext"]
    tenant = context["authorizer"]["lambda"]["tenantId"]
    method = context["http"]["method"]
    path = event["rawPath"].removeprefix(BASE).strip("/")
    now = time.time_ns() // 1_000_000
    try:
        if not path and method == "POST":
            status, session = create(tenant, event["body"], now)
        elif path.endswith("/heartbeat") and method == "POST":
            status, session = heartbeat(tenant, path.removesuffix("/heartbeat"), now)
        else:
            status, session = get(tenant, path, now)
    except msgspec.ValidationError as error:
        status, session = 400, {"error": str(error)}
    log = {"level": "INFO", "message": "request", "method": method, "tenant": tenant, "status": status}
    print(encode(log).decode())  # noqa: T201 - Lambda's log
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json", "cache-control": "no-store"},
        "body": encode(session).decode(),
    }


def create(tenant: str, text: str, now: int) -> tuple[int, Item]:
    body = decode_body(text)
    metadata = encode(body.metadata)
    if len(metadata) > 10_240:
        return 400, {"error": "metadata must have at most 10,240 bytes"}
    request_hash = b64encode(hashlib.sha256(text.encode()).digest()).decode()
    attempt = b64encode(os.urandom(4)).decode()
    item = new_item(new_id(), tenant, body, metadata.decode(), request_hash, attempt, now)
    status, answer = dynamodb(
        "PutItem",
        {
            "TableName": TABLE,
            "Item": item,
            "ConditionExpression": "attribute_not_exists(sessionId) OR expiresAt <= :retired",
            "ExpressionAttributeValues": {":retired": {"N": str(now - RETENTION_MS)}},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        },
    )
    if status != 200:
        return 500, {"error": answer.get("__type")}
    count("SessionsCreated")
    return 201, session_of(item, now)


def get(tenant: str, session_id: str, now: int) -> tuple[int, Item]:
    request = {"TableName": TABLE, "Key": {"sessionId": {"S": session_id}}, "ConsistentRead": True}
    status, answer = dynamodb("GetItem", request) if is_id(session_id) else (200, {})
    item = answer.get("Item")
    if status != 200 or item is None or item["tenantId"]["S"] != tenant:
        return 404, {"error": "There is no such session."}
    if int(item["expiresAt"]["N"]) <= now:
        return 410, {"error": "The session has expired."}
    return 200, session_of(item, now)


def heartbeat(tenant: str, session_id: str, now: int) -> tuple[int, Item]:
    status, answer = dynamodb(
        "UpdateItem",
        {
            "TableName": TABLE,
            "Key": {"sessionId": {"S": session_id}},
            "UpdateExpression": "SET expiresAt = :now + timeoutMs, lastActivity = :now, renewedAt = :now, "
            "renewalCount = renewalCount + :one, lease = lease + :one",
            "ConditionExpression": "tenantId = :tenant AND attribute_exists(dueShard) AND expiresAt > :now "
            "AND lastActivity <= :now AND renewableUntil > :now AND dueAt < expiresAt AND autoRenew = :true",
            "ExpressionAttributeValues": {
                ":now": {"N": str(now)},
                ":one": {"N": "1"},
                ":tenant": {"S": tenant},
                ":true": {"BOOL": True},
            },
            "ReturnValues": "ALL_NEW",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        },
    )
    if status != 200:
        return 404, {"error": "There is no such session."}
    count("SessionHeartbeats")
    return 200, session_of(answer["Attributes"], now)


def dynamodb(operation: str, request: Item) -> tuple[int, Item]:
    body = encode(request)
    status, answer = exchange(signed(f"DynamoDB_20120810.{operation}", body), body)
    return status, decode(answer)


def exchange(headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
    """Send one request; once more where the kept connection turns out to be closed."""
    try:
        connection.request("POST", "/", body, headers)
        answer = connection.getresponse()
    except (HTTPException, ConnectionError):
        connection.close()
        connection.request("POST", "/", body, headers)
        answer = connection.getresponse()
    return answer.status, answer.read()


def signed(target: str, body: bytes) -> dict[str, str]:
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    token = os.environ.get("AWS_SESSION_TOKEN", "")
    headers = {
        "content-type": "application/x-amz-json-1.0",
        "host": HOST,
        "x-amz-date": moment,
        "x-amz-security-token": token,
        "x-amz-target": target,
    }
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{moment[:8]}/{REGION}/dynamodb/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{os.environ['AWS_SECRET_ACCESS_KEY']}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    credential = f"{os.environ['AWS_ACCESS_KEY_ID']}/{scope}"
    headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return headers


def count(name: str) -> None:
    metric = {"Name": name, "Unit": "Count"}
    directive = {"Namespace": "AgentSessions", "Dimensions": [["service"]], "Metrics": [metric]}
    aws = {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": [directive]}
    line = encode({"_aws": aws, "service": "agent-sessions", name: [1.0]})
    print(line.decode())  # noqa: T201 - how EMF is published


def is_id(text: str) -> bool:
    return fullmatch(UUID_PATTERN, text) is not None


def new_id() -> str:
    value = bytearray(os.urandom(16))
    value[6] = value[6] & 0x0F | 0x40
    value[8] = value[8] & 0x3F | 0x80
    text = value.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def session_of(item: Item, now: int) -> Item:
    remaining = max(0, int(item["expiresAt"]["N"]) - now)
    return {
        "sessionId": item["sessionId"]["S"],
        "agentId": item["agentId"]["S"],
        "userId": item["userId"]["S"],
        "createdAt": moment(item["createdAt"]["N"]),
        "lastActivity": moment(item["lastActivity"]["N"]),
        "expiresAt": moment(item["expiresAt"]["N"]),
        "endsAt": moment(item["endsAt"]["N"]),
        "metadata": msgspec.Raw(item["metadata"]["S"]),
        "timeoutConfig": {
            "timeoutMinutes": float(item["timeoutMinutes"]["N"]),
            "autoRenew": item["autoRenew"]["BOOL"],
            "maxDurationMinutes": float(item["maxDurationMinutes"]["N"]),
            "warningThresholdMinutes": float(item["warningThresholdMinutes"]["N"]),
        },
        "renewalCount": int(item["renewalCount"]["N"]),
        "timeRemaining": remaining,
        "isNearExpiration": 0 < remaining <= int(item["warningMs"]["N"]),
    }


def moment(epoch_ms: str) -> str:
    seconds, ms = divmod(int(epoch_ms), 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{ms:03}Z"
