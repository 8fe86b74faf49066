"""Makes what functions under `sam local` call: tables in DynamoDB Local, topic and queue in moto's server.

`python -m local.sam_local` takes the names from local/env.json, which the functions get by --env-vars, and reaches both
from outside the containers. docs/operations.md has the commands around it.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from template_reader import PATH, create_tables

ENV_FILE = Path(__file__).resolve().with_name("env.json")
_QUICKLY = Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 2})


def names(env_file: Path = ENV_FILE) -> tuple[dict[str, str], str, list[str]]:
    """What the env file calls the tables, by logical id, the topic, and the queues."""
    env: dict[str, dict[str, str]] = json.loads(env_file.read_text(encoding="utf-8"))
    tables = {
        "SessionsTable": env["SessionApiFunction"]["SESSIONS_TABLE"],
        "MessagesTable": env["SessionMessagesFunction"]["MESSAGES_TABLE"],
        "AgentPoliciesTable": env["SessionApiFunction"]["AGENT_POLICIES_TABLE"],
        "ApiKeysTable": env["ApiKeyAuthorizerFunction"]["API_KEYS_TABLE"],
    }
    urls = (
        env["EraserFunction"]["ERASER_QUEUE_URL"],
        env["MessagePublisherFunction"]["MESSAGE_EVENTS_DEAD_LETTERS_URL"],
    )
    queues = [url.rpartition("/")[2] for url in urls]
    return tables, env["ExpirySweeperFunction"]["EVENTS_TOPIC_ARN"], queues


def make(dynamodb: Any, sns: Any, sqs: Any) -> list[str]:
    """Make what is missing; return the names of what was made."""
    tables, topic_arn, queues = names()
    there = set(dynamodb.list_tables()["TableNames"])
    missing = {logical_id: name for logical_id, name in tables.items() if name not in there}
    create_tables(dynamodb, PATH, missing)
    topic = topic_arn.rpartition(":")[2]
    if sns.create_topic(Name=topic)["TopicArn"] != topic_arn:
        raise ValueError(f"{ENV_FILE.name} names a topic of another account or region than the stand-in's")
    for queue in queues:
        sqs.create_queue(QueueName=queue)
    return [*missing.values(), topic, *queues]


def _client(service: Any, url: str) -> Any:
    """A client with made-up credentials: what it talks to takes any."""
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",  # noqa: S106
        config=_QUICKLY,
    )


def main() -> str | None:
    """Make tables, topic and queue; return what went wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m local.sam_local", description="Tables, topic and queue for sam local."
    )
    parser.add_argument("--dynamodb", default="http://127.0.0.1:8000", help="DynamoDB Local (default: %(default)s)")
    parser.add_argument("--sns", default="http://127.0.0.1:5000", help="moto's server (default: %(default)s)")
    options = parser.parse_args()
    try:
        moto = options.sns
        made = make(_client("dynamodb", options.dynamodb), _client("sns", moto), _client("sqs", moto))
    except (BotoCoreError, ValueError) as error:
        return f"error: {error}"
    print(f"made {', '.join(made)}")
    return None


if __name__ == "__main__":
    sys.exit(main())
