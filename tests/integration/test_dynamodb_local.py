"""DynamoDB Local is started and stopped as its users expect."""

import socket
from pathlib import Path

import pytest

from local.dynamodb_local import DynamoDbLocal, DynamoDbLocalError
from tests.engines.tables import create_sessions_table


def test_what_it_keeps_in_a_folder_is_there_after_a_restart(tmp_path: Path) -> None:
    ports = []
    for restarted in (False, True):
        with DynamoDbLocal(data_dir=tmp_path / "data") as server:
            ports.append(server.port)
            client = server.client()
            if not restarted:
                create_sessions_table(client, "kept", time_to_live=True)
            assert client.list_tables()["TableNames"] == ["kept"]
            expiry = client.describe_time_to_live(TableName="kept")["TimeToLiveDescription"]
            assert expiry == {"TimeToLiveStatus": "ENABLED", "AttributeName": "purgeAt"}
            client.close()
    for port in ports:
        with socket.socket() as caller:
            assert caller.connect_ex(("127.0.0.1", port)) != 0


def test_a_port_that_is_taken_is_named(dynamo_local: DynamoDbLocal) -> None:
    with pytest.raises(DynamoDbLocalError, match=f"port {dynamo_local.port} is taken"):
        DynamoDbLocal(port=dynamo_local.port).start()
