"""Reads template.yaml for the local stack, the tools and the tests: as written, expanded, and as a deployment sees it.

An intrinsic function that the template does not use is refused, not guessed.
"""

import copy
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from samtranslator.yaml_helper import yaml_parse

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

PATH: Final = Path(__file__).resolve().with_name("template.yaml")

_SAM: Final = "AWS::Serverless-2016-10-31"
_CODE: Final = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::LayerVersion": "ContentUri"}
_FUNCTION_TYPES: Final = ("AWS::Serverless::Function", "AWS::Lambda::Function")
_TABLE_TYPE: Final = "AWS::DynamoDB::Table"
_NO_VALUE: Final = object()
_PLACEHOLDER: Final = re.compile(r"\$\{(!?)([^}]+)\}")
_RATE: Final = re.compile(r"rate\((\d+) minutes?\)")
_INDEX_PARTS: Final = ("IndexName", "KeySchema", "Projection")
# The ARN of a resource: partition, region and account, then its physical name.
_ARN: Final = {
    "AWS::CloudWatch::Alarm": "arn:{0}:cloudwatch:{1}:{2}:alarm:{3}",
    "AWS::DynamoDB::Table": "arn:{0}:dynamodb:{1}:{2}:table/{3}",
    "AWS::Events::Rule": "arn:{0}:events:{1}:{2}:rule/{3}",
    "AWS::IAM::Role": "arn:{0}:iam::{2}:role/{3}",
    "AWS::Lambda::Function": "arn:{0}:lambda:{1}:{2}:function:{3}",
    "AWS::Logs::LogGroup": "arn:{0}:logs:{1}:{2}:log-group:{3}:*",
    "AWS::SNS::Topic": "arn:{0}:sns:{1}:{2}:{3}",
    "AWS::SQS::Queue": "arn:{0}:sqs:{1}:{2}:{3}",
    "AWS::Serverless::Function": "arn:{0}:lambda:{1}:{2}:function:{3}",
}
# Ref gives these types' ARN, and every other type's physical name.
_REF_IS_ARN: Final = frozenset({"AWS::SNS::Topic"})
_NAME_ATTRIBUTES: Final = frozenset({"TopicName", "QueueName"})


class TemplateError(Exception):
    """The template has no such part, or uses something that is not read here."""


@dataclass(frozen=True)
class Deployment:
    """What a deployment adds to a template: parameters, physical names by logical id, and where it stands.

    A parameter that is left out has its default. A resource without a physical name goes by its logical id.
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, str] = field(default_factory=dict)
    stack: str = "local"
    region: str = "eu-west-1"
    account: str = "123456789012"
    partition: str = "aws"
    url_suffix: str = "amazonaws.com"


class Schedule(NamedTuple):
    """One rule of EventBridge: how often it fires, and the event it sends in place of EventBridge's own, if any."""

    name: str
    every_minutes: int
    input: str | None


class StreamSource(NamedTuple):
    """One event source mapping on a table's stream: the table's logical id, the batch, and its filter patterns."""

    table: str
    batch_size: int
    patterns: tuple[str, ...]


class Route(NamedTuple):
    """One route of the HTTP API: `GET /path`, or `$default`; and whether the authorizer must let the caller in.

    `function` is the logical id of the function behind it.
    """

    key: str
    needs_key: bool
    function: str


def read(path: Path = PATH) -> dict[str, Any]:
    """A template as it is written, parsed once for each change of the file. Callers must not change it."""
    return _read(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _read(path: Path, _changed_ns: int) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml_parse(path.read_text(encoding="utf-8"))
    return parsed


def expand(
    template: Mapping[str, Any], parameters: Mapping[str, str] | None = None, *, region: str = "eu-west-1"
) -> dict[str, Any]:
    """The CloudFormation template that a parsed SAM template becomes; a parameter that is not given has its default.

    Raises:
        InvalidDocumentException: SAM refuses the template.

    """
    import boto3  # noqa: PLC0415 - the local stack expands nothing, and starts sooner without these
    from samtranslator.parser.parser import Parser  # noqa: PLC0415
    from samtranslator.translator.translator import Translator  # noqa: PLC0415

    fragment = copy.deepcopy(dict(template))
    for resource in fragment["Resources"].values():
        code = _CODE.get(resource["Type"])
        local = resource["Properties"].get(code)
        if isinstance(local, str) and not local.startswith("s3://"):
            # `sam package` uploads the folder and writes such an address.
            resource["Properties"][code] = "s3://packaged/code.zip"
    # The dict takes the place of IAM's list of managed policies: our templates write their own policies.
    translator = Translator(None, Parser(), boto_session=boto3.Session(region_name=region))
    translated: dict[str, Any] = translator.translate(fragment, dict(parameters or {}), get_managed_policy_map=dict)
    transforms = template.get("Transform", [])
    others = [name for name in ([transforms] if isinstance(transforms, str) else transforms) if name != _SAM]
    return ({"Transform": others} if others else {}) | translated


def expanded(path: Path = PATH) -> dict[str, Any]:
    """A template as CloudFormation sees it, expanded once for each change of the file. Callers must not change it."""
    return _expanded(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _expanded(path: Path, _changed_ns: int) -> dict[str, Any]:
    return expand(read(path))


class Template:
    """A template as one deployment sees it: every intrinsic function has its value."""

    def __init__(
        self, path: Path = PATH, deployment: Deployment | None = None, *, as_cloudformation: bool = False
    ) -> None:
        """Read the file as it is written, or expanded to CloudFormation.

        Raises:
            TemplateError: the deployment gives a parameter that the template does not have.

        """
        self.path = path
        self.deployment = deployment or Deployment()
        self._body = expanded(path) if as_cloudformation else read(path)
        unknown = sorted(self.deployment.parameters.keys() - self._section("Parameters").keys())
        if unknown:
            message = f"{path.name} has no parameter called {', '.join(unknown)}"
            raise TemplateError(message)

    def for_deployment(self, deployment: Deployment) -> "Template":
        """The same template, as it is written, in another deployment."""
        return Template(self.path, deployment)

    @functools.cached_property
    def resources(self) -> dict[str, dict[str, Any]]:
        """The resources that this deployment has, by logical id."""
        return self._present("Resources")

    @functools.cached_property
    def outputs(self) -> dict[str, dict[str, Any]]:
        """The outputs that this deployment has, by name."""
        return self._present("Outputs")

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """The properties of this deployment's resources of one type, by logical id."""
        return {
            name: resource.get("Properties", {})
            for name, resource in self.resources.items()
            if resource["Type"] == kind
        }

    def tables(self) -> list[str]:
        """The logical ids of the DynamoDB tables."""
        return [name for name, resource in self._section("Resources").items() if resource["Type"] == _TABLE_TYPE]

    def table(self, logical_id: str) -> dict[str, Any]:
        """The properties of one DynamoDB table."""
        properties: dict[str, Any] = self._resolve(self._resource(logical_id, "DynamoDB table", (_TABLE_TYPE,)))
        return properties

    def environment(self, function: str) -> dict[str, str]:
        """The environment variables that a function gets."""
        resolved = self._resolve(self._declared_environment(function))
        return {name: _text(value) for name, value in resolved.items()}

    def parameter_of(self, function: str) -> dict[str, str]:
        """The variables of a function that hand on a parameter as it is: variable to parameter."""
        return {
            variable: value["Ref"]
            for variable, value in self._declared_environment(function).items()
            if isinstance(value, dict) and value.get("Ref") in self._section("Parameters")
        }

    def schedules(self, function: str) -> list[Schedule]:
        """The rules that start a function, without those that are switched off. For the template as it is written.

        Raises:
            TemplateError: a rule's rate is not in minutes.

        """
        found = []
        for name, event in self._function(function).get("Events", {}).items():
            properties = event["Properties"]
            if event["Type"] != "Schedule" or self._resolve(properties.get("State", "ENABLED")) == "DISABLED":
                continue
            rate = _RATE.fullmatch(properties["Schedule"])
            if rate is None:
                message = f"{function}'s schedule {name} must be a rate in minutes, not {properties['Schedule']}"
                raise TemplateError(message)
            found.append(Schedule(name, int(rate.group(1)), properties.get("Input")))
        return found

    def streams(self, function: str) -> list[StreamSource]:
        """The streams that start a function. For the template as it is written."""
        events = self._function(function).get("Events", {}).values()
        return [
            StreamSource(
                table=properties["Stream"]["Fn::GetAtt"][0],
                batch_size=int(properties["BatchSize"]),
                patterns=tuple(each["Pattern"] for each in properties.get("FilterCriteria", {}).get("Filters", ())),
            )
            for properties in (event["Properties"] for event in events if event["Type"] == "DynamoDB")
        ]

    def routes(self) -> list[Route]:
        """The routes of the HTTP API, in the template's order."""
        return [
            Route(
                route["RouteKey"],
                needs_key=route["AuthorizationType"] != "NONE",
                function=self._function_behind(route["Target"].removeprefix("integrations/")),
            )
            for route in self.of_type("AWS::ApiGatewayV2::Route").values()
        ]

    def _function_behind(self, integration: str) -> str:
        """The logical id of the function that an integration calls."""
        uri = self.property_of(integration, "IntegrationUri")
        return next(name for name in self.of_type(_FUNCTION_TYPES[0]) if f"{self.arn(name)}" in uri)

    def property_of(self, resource: str, name: str) -> Any:
        """One property of a resource; None where the resource has no such property."""
        value = self._resolve(self._resource(resource, "resource").get(name, _NO_VALUE))
        return None if value is _NO_VALUE else value

    def holds(self, condition: str) -> bool:
        """Whether a condition of the template is true."""
        return self._condition(self._section("Conditions")[condition])

    def arn(self, logical_id: str) -> str:
        """The ARN of a resource."""
        at = self.deployment
        form = _ARN[self._section("Resources")[logical_id]["Type"]]
        return form.format(at.partition, at.region, at.account, at.resources.get(logical_id, logical_id))

    def _section(self, name: str) -> dict[str, Any]:
        section: dict[str, Any] = self._body.get(name, {})
        return section

    def _present(self, section: str) -> dict[str, dict[str, Any]]:
        return {
            name: self._resolve(declared)
            for name, declared in self._section(section).items()
            if "Condition" not in declared or self.holds(declared["Condition"])
        }

    def _resource(self, name: str, what: str, types: tuple[str, ...] = ()) -> dict[str, Any]:
        """The properties of a resource as they are written."""
        resource = self._section("Resources").get(name)
        if resource is None or (types and resource["Type"] not in types):
            message = f"{self.path.name} has no {what} called {name}"
            raise TemplateError(message)
        properties: dict[str, Any] = resource.get("Properties", {})
        return properties

    def _function(self, name: str) -> dict[str, Any]:
        return self._resource(name, "function", _FUNCTION_TYPES)

    def _declared_environment(self, function: str) -> dict[str, Any]:
        common = self._section("Globals").get("Function", {}).get("Environment", {}).get("Variables", {})
        own = self._function(function).get("Environment", {}).get("Variables", {})
        return {**common, **own}

    def _resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            return [item for item in map(self._resolve, value) if item is not _NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, argument),) = value.items()
            if name == "Ref" or name.startswith("Fn::"):
                return self._call(name, argument)
        resolved = {key: self._resolve(item) for key, item in value.items()}
        return {key: item for key, item in resolved.items() if item is not _NO_VALUE}

    def _call(self, name: str, argument: Any) -> Any:
        match name:
            case "Ref":
                return self._reference(argument)
            case "Fn::GetAtt":
                return self._attribute(*(argument.split(".") if isinstance(argument, str) else argument))
            case "Fn::If":
                return self._resolve(argument[1] if self.holds(argument[0]) else argument[2])
            case "Fn::Sub":
                return self._substitute(argument)
            case "Fn::Join":
                return argument[0].join(_text(part) for part in self._resolve(argument[1]))
            case "Fn::FindInMap":
                mapping, first, second, *options = self._resolve(argument)
                row = self._section("Mappings")[mapping].get(_text(first), {})
                return row[_text(second)] if second in row or not options else options[0]["DefaultValue"]
            case _:
                message = f"{name} is not read here"
                raise TemplateError(message)

    def _reference(self, name: str) -> Any:
        at = self.deployment
        pseudo = {
            "AWS::AccountId": at.account,
            "AWS::NoValue": _NO_VALUE,
            "AWS::Partition": at.partition,
            "AWS::Region": at.region,
            "AWS::StackName": at.stack,
            "AWS::URLSuffix": at.url_suffix,
        }
        if name in pseudo:
            return pseudo[name]
        parameter = self._section("Parameters").get(name)
        if parameter is not None:
            given = _text(at.parameters.get(name, parameter.get("Default", "")))
            is_list = parameter["Type"] == "CommaDelimitedList"
            return [part for part in given.split(",") if part] if is_list else given
        if name in at.resources:
            return at.resources[name]
        if name.endswith(".Alias"):  # before SAM has made the alias of AutoPublishAlias
            function = name.removesuffix(".Alias")
            return f"{self.arn(function)}:{self._function(function)['AutoPublishAlias']}"
        kind = self._type_of(name)
        if kind == "AWS::Lambda::Alias":
            alias = self._section("Resources")[name]["Properties"]
            return f"{self.arn(alias['FunctionName']['Ref'])}:{alias['Name']}"
        return self.arn(name) if kind in _REF_IS_ARN else name

    def _attribute(self, name: str, attribute: str) -> str:
        kind = self._type_of(name)
        if attribute == "Arn" and kind in _ARN:
            return self.arn(name)
        physical = self.deployment.resources.get(name, name)
        return physical if attribute in _NAME_ATTRIBUTES else f"{physical}.{attribute}"

    def _type_of(self, name: str) -> str:
        resource = self._section("Resources").get(name)
        if resource is None:
            message = f"{self.path.name} refers to {name}, which it does not have"
            raise TemplateError(message)
        return str(resource["Type"])

    def _substitute(self, argument: Any) -> str:
        text, given = argument if isinstance(argument, list) else (argument, {})

        def replace(found: re.Match[str]) -> str:
            literal, name = found.groups()
            if literal:
                return f"${{{name}}}"
            if name in given:
                return _text(self._resolve(given[name]))
            return _text(self._attribute(*name.split(".", 1)) if "." in name else self._reference(name))

        return _PLACEHOLDER.sub(replace, text)

    def _condition(self, condition: Any) -> bool:
        ((name, argument),) = condition.items()
        match name:
            case "Condition":
                return self.holds(argument)
            case "Fn::Equals":
                left, right = (_text(self._resolve(side)) for side in argument)
                return left == right
            case "Fn::Not":
                return not self._condition(argument[0])
            case "Fn::And":
                return all(map(self._condition, argument))
            case "Fn::Or":
                return any(map(self._condition, argument))
            case _:
                message = f"{name} is no condition that is read here"
                raise TemplateError(message)


def create_tables(
    client: "DynamoDBClient", template: Path, names: Mapping[str, str], *, time_to_live: bool = False
) -> None:
    """Create each table (logical id to table name) in any engine, from the template: its schema is written once.

    TTL is switched on only where it is asked for.
    """
    declared = Template(template)
    for logical_id, name in names.items():
        properties = declared.table(logical_id)
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
            client.update_time_to_live(
                TableName=name,
                TimeToLiveSpecification={"Enabled": True, "AttributeName": expiry["AttributeName"]},
            )


def _text(value: Any) -> str:
    """A value as CloudFormation writes it into an environment variable."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
