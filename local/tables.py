"""Makes the template's DynamoDB tables in any engine, from the template itself, so that schemas are written once."""

import copy
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samtranslator.yaml_helper import yaml_parse

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_INDEX_PARTS = ("IndexName", "KeySchema", "Projection")


class TableInTemplateError(Exception):
    """The template has no such table, or says of it what cannot be taken literally."""


def table_in_template(template: Path, logical_id: str) -> dict[str, Any]:
    """The properties of one table of the template."""
    resource = _resources(template, template.stat().st_mtime_ns).get(logical_id, {})
    if resource.get("Type") != "AWS::DynamoDB::Table":
        message = f"{template.name} has no DynamoDB table called {logical_id}"
        raise TableInTemplateError(message)
    properties: dict[str, Any] = copy.deepcopy(resource["Properties"])
    return properties


@functools.lru_cache(maxsize=1)
def _resources(template: Path, _changed_ns: int) -> dict[str, Any]:
    """The template's resources, read once for each change of the file: parsing it takes longer than making a table."""
    resources: dict[str, Any] = yaml_parse(template.read_text(encoding="utf-8"))["Resources"]
    return resources


def create_tables(
    client: "DynamoDBClient", template: Path, names: Mapping[str, str], *, time_to_live: bool = False
) -> None:
    """Create each table (logical id to table name); its TTL is switched on only where asked for."""
    for logical_id, name in names.items():
        properties = table_in_template(template, logical_id)
        schema: dict[str, Any] = {
            part: properties[part] for part in ("KeySchema", "AttributeDefinitions", "BillingMode")
        }
        indexes = properties.get("GlobalSecondaryIndexes")
        if indexes:
            schema["GlobalSecondaryIndexes"] = [{part: index[part] for part in _INDEX_PARTS} for index in indexes]
        if "StreamSpecification" in properties:
            schema["StreamSpecification"] = {"StreamEnabled": True, **properties["StreamSpecification"]}
        client.create_table(TableName=name, **schema)
        expiry = properties.get("TimeToLiveSpecification")
        if time_to_live and expiry:
            attribute = expiry["AttributeName"]
            client.update_time_to_live(
                TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": attribute}
            )
