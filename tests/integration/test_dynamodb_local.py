"""DynamoDB Local is started and stopped as its users expect."""

import socket
from pathlib import Path

import pytest

from local.dynamodb_local import DynamoDbLocal, DynamoDbLocalError, client
from tests.engines.tables import create_sessions_table


def test_what_it_keeps_in_a_folder_is_there_after_a_restart(tmp_path: Path) -> None:
    ports = []
    for restarted in (False, True):
        with DynamoDbLocal(data_dir=tmp_path / "data") as server:
            ports.append(server.port)
            dynamodb = server.client()
            if not restarted:
                create_sessions_table(dynamodb, "kept", time_to_live=True)
            assert dynamodb.list_tables()["TableNames"] == ["kept"]
            expiry = dynamodb.describe_time_to_live(TableName="kept")["TimeToLiveDescription"]
            assert expiry == {"TimeToLiveStatus": "ENABLED", "AttributeName": "purgeAt"}
            dynamodb.close()
    for port in ports:
        with socket.socket() as caller:
            assert caller.connect_ex(("127.0.0.1", port)) != 0


def test_a_port_that_is_taken_is_named(dynamo_local: DynamoDbLocal) -> None:
    with pytest.raises(DynamoDbLocalError, match=f"port {dynamo_local.port} is taken"):
        DynamoDbLocal(port=dynamo_local.port).start()


def test_tables_of_an_access_key_are_seen_by_nobody_else(tmp_path: Path) -> None:
    """The server listens on all addresses of the machine: whoever reaches it must not see what the stack keeps."""
    with DynamoDbLocal(data_dir=tmp_path, access_key="0123456789abcdef") as server:
        create_sessions_table(server.client())
        seen = {
            key: client(server.endpoint_url, access_key=key).list_tables()["TableNames"]
            for key in ("0123456789abcdef", "local", "another")
        }
    assert seen == {"0123456789abcdef": ["sessions"], "local": [], "another": []}
