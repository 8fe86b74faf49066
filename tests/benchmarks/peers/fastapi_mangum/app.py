"""FastAPI behind Mangum, with a boto3 client and a JSON log line from the standard library.

It does what is measured of the service and nothing else: create, get, heartbeat and append, with the same checks, the
same items and the same conditions.
"""

import hashlib
import json
import logging
import os
import time
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any

import boto3
from botocore.exceptions import ClientError
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from item import MAY_TAKE, RENEW, RENEWABLE, RETENTION_MS, TAKE_NUMBER, new_item
from mangum import Mangum
from models import Appended, Message, NewMessage, NewSession, Session, SessionStatus, TimeoutConfig

logger = logging.getLogger("sessions")
logger.setLevel(logging.INFO)
app = FastAPI()
dynamodb = boto3.client("dynamodb")
TABLE = os.environ["SESSIONS_TABLE"]
MESSAGES = os.environ["MESSAGES_TABLE"]

Item = dict[str, Any]


def tenant_id(request: Request) -> str:
    context = request.scope["aws.event"]["requestContext"]
    return str(context["authorizer"]["lambda"]["tenantId"])


Tenant = Annotated[str, Depends(tenant_id)]


@app.post("/api/messaging/sessions", status_code=201)
def create_session(body: NewSession, tenant: Tenant, response: Response) -> Session:
    now = time.time_ns() // 1_000_000
    metadata = json.dumps(body.metadata, ensure_ascii=False, separators=(",", ":"))
    request_hash = hashlib.sha256(body.model_dump_json().encode()).digest()
    item = new_item(str(uuid.uuid4()), tenant, body, metadata, request_hash, os.urandom(4), now)
    dynamodb.put_item(
        TableName=TABLE,
        Item=item,
        ConditionExpression="attribute_not_exists(sessionId) OR expiresAt <= :retired",
        ExpressionAttributeValues={":retired": {"N": str(now - RETENTION_MS)}},
        ReturnValuesOnConditionCheckFailure="ALL_OLD",
    )
    session_id = item["sessionId"]["S"]
    log("session created", session_id)
    count("SessionsCreated")
    response.headers["location"] = f"/api/messaging/sessions/{session_id}"
    return session_of(item, now)


@app.get("/api/messaging/sessions/{session_id}")
def get_session(session_id: str, tenant: Tenant) -> Session:
    item = dynamodb.get_item(TableName=TABLE, Key={"sessionId": {"S": session_id}}, ConsistentRead=True).get("Item")
    now = time.time_ns() // 1_000_000
    if item is None or item["tenantId"]["S"] != tenant:
        raise HTTPException(404, "There is no such session.")
    if int(item["expiresAt"]["N"]) <= now:
        raise HTTPException(410, "The session has expired.")
    log("session read", session_id)
    return session_of(item, now)


@app.post("/api/messaging/sessions/{session_id}/heartbeat")
def heartbeat(session_id: str, tenant: Tenant) -> Session:
    now = time.time_ns() // 1_000_000
    try:
        answer = dynamodb.update_item(
            TableName=TABLE,
            Key={"sessionId": {"S": session_id}},
            UpdateExpression=RENEW,
            ConditionExpression=RENEWABLE,
            ExpressionAttributeValues={
                ":now": {"N": str(now)},
                ":one": {"N": "1"},
                ":tenant": {"S": tenant},
                ":true": {"BOOL": True},
            },
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
            raise HTTPException(404, "There is no such session.") from error
        raise
    log("session renewed", session_id)
    count("SessionHeartbeats")
    return session_of(answer["Attributes"], now)


@app.post("/api/messaging/sessions/{session_id}/messages", status_code=201)
def append_message(session_id: str, body: NewMessage, tenant: Tenant, response: Response) -> Appended:
    now = time.time_ns() // 1_000_000
    try:
        item = dynamodb.update_item(
            TableName=TABLE,
            Key={"sessionId": {"S": session_id}},
            UpdateExpression=TAKE_NUMBER,
            ConditionExpression=MAY_TAKE,
            ExpressionAttributeValues={
                ":now": {"N": str(now)},
                ":one": {"N": "1"},
                ":zero": {"N": "0"},
                ":tenant": {"S": tenant},
                ":true": {"BOOL": True},
                ":limit": {"N": "10000"},
            },
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )["Attributes"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
            raise HTTPException(404, "There is no such session.") from error
        raise
    dynamodb.put_item(
        TableName=MESSAGES,
        Item={
            "life": {"S": f"{session_id}#{item['attempt']['B'].hex()}"},
            "seq": item["lastSeq"],
            "write": {"B": os.urandom(4)},
            **{name: item[name] for name in ("tenantId", "agentId", "userId", "lease", "expiresAt", "purgeAt")},
            "sessionCreatedAt": item["createdAt"],
            "createdAt": {"N": str(now)},
            "role": {"S": "user"},
            "content": {"S": body.content},
            "metadata": {"S": json.dumps(body.metadata, ensure_ascii=False, separators=(",", ":"))},
        },
        ConditionExpression="attribute_not_exists(seq)",
        ReturnValuesOnConditionCheckFailure="ALL_OLD",
    )
    log("message appended", session_id)
    count("UserMessages")
    message = Message(
        id=str(uuid.uuid4()),
        sequence=int(item["lastSeq"]["N"]),
        session_id=session_id,
        content=body.content,
        author_id=item["userId"]["S"],
        created_at=moment(str(now)),
        metadata=body.metadata,
    )
    status = SessionStatus(
        expires_at=moment(item["expiresAt"]["N"]),
        renewal_count=int(item["renewalCount"]["N"]),
        last_sequence=message.sequence,
    )
    response.headers["location"] = f"/api/messaging/sessions/{session_id}/messages/{message.id}"
    return Appended(message=message, session_status=status)


handler = Mangum(app, lifespan="off")


def log(message: str, session_id: str) -> None:
    logger.info(json.dumps({"level": "INFO", "message": message, "session_id": session_id}))


def count(name: str) -> None:
    metric = {"Name": name, "Unit": "Count"}
    directive = {"Namespace": "AgentSessions", "Dimensions": [["service"]], "Metrics": [metric]}
    aws = {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": [directive]}
    print(json.dumps({"_aws": aws, "service": "agent-sessions", name: [1.0]}))  # noqa: T201 - how EMF is published


def session_of(item: Item, now: int) -> Session:
    remaining = max(0, int(item["expiresAt"]["N"]) - now)
    return Session(
        session_id=item["sessionId"]["S"],
        agent_id=item["agentId"]["S"],
        user_id=item["userId"]["S"],
        created_at=moment(item["createdAt"]["N"]),
        last_activity=moment(item["lastActivity"]["N"]),
        expires_at=moment(item["expiresAt"]["N"]),
        ends_at=moment(item["endsAt"]["N"]),
        metadata=json.loads(item["metadata"]["S"]),
        timeout_config=TimeoutConfig(
            timeout_minutes=float(item["timeoutMinutes"]["N"]),
            auto_renew=item["autoRenew"]["BOOL"],
            max_duration_minutes=float(item["maxDurationMinutes"]["N"]),
            warning_threshold_minutes=float(item["warningThresholdMinutes"]["N"]),
        ),
        renewal_count=int(item["renewalCount"]["N"]),
        time_remaining=remaining,
        is_near_expiration=0 < remaining <= int(item["warningMs"]["N"]),
    )


def moment(epoch_ms: str) -> datetime:
    return datetime.fromtimestamp(int(epoch_ms) / 1000, tz=UTC)
