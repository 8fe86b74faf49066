"""Reads template.yaml for tests: as written, expanded to CloudFormation, and resolved for one choice of parameters."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from samtranslator.yaml_helper import yaml_parse

from tools.expand_template import expand

PATH: Final = Path(__file__).resolve().parents[1] / "template.yaml"
FUNCTIONS: Final = ("SessionApiFunction", "ExpirySweeperFunction", "ApiKeyAuthorizerFunction")

REGION: Final = "eu-west-1"
ACCOUNT: Final = "123456789012"
_NO_VALUE: Final = object()
_PSEUDO: Final[dict[str, Any]] = {
    "AWS::AccountId": ACCOUNT,
    "AWS::NoValue": _NO_VALUE,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackName": "sessions",
    "AWS::URLSuffix": "amazonaws.com",
}
# What Ref and GetAtt give, by type of resource; of all others Ref gives the logical id.
_ARN: Final = {
    "AWS::CloudWatch::Alarm": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:%s",
    "AWS::DynamoDB::Table": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/%s",
    "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/%s",
    "AWS::Lambda::Function": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:%s",
    "AWS::Logs::LogGroup": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:%s:*",
    "AWS::SNS::Topic": f"arn:aws:sns:{REGION}:{ACCOUNT}:%s",
    "AWS::SQS::Queue": f"arn:aws:sqs:{REGION}:{ACCOUNT}:%s",
    "AWS::Events::Rule": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/%s",
}
_REF_IS_ARN: Final = {"AWS::SNS::Topic"}
_NAME_ATTRIBUTES: Final = {"TopicName", "QueueName"}


@cache
def template() -> dict[str, Any]:
    """The template as written."""
    parsed: dict[str, Any] = yaml_parse(PATH.read_text(encoding="utf-8"))
    return parsed


@cache
def expanded() -> dict[str, Any]:
    """The CloudFormation template that it becomes."""
    return expand(template(), region=REGION)


class Deployment:
    """The expanded template with its references resolved: the resources that one choice of parameters makes."""

    def __init__(self, **parameters: str) -> None:
        """Take the defaults for what `parameters` leaves out."""
        declared = expanded()["Parameters"]
        unknown = parameters.keys() - declared.keys()
        assert not unknown, f"the template has no parameters {unknown}"
        values = {name: str(declaration.get("Default", "")) for name, declaration in declared.items()} | parameters
        self.parameters: dict[str, Any] = {
            name: value.split(",") if declared[name]["Type"] == "CommaDelimitedList" else value
            for name, value in values.items()
        }
        self._conditions = expanded()["Conditions"]
        self._types = {name: resource["Type"] for name, resource in expanded()["Resources"].items()}
        self.resources: dict[str, dict[str, Any]] = {
            name: self._resolve(resource)
            for name, resource in expanded()["Resources"].items()
            if "Condition" not in resource or self.holds(resource["Condition"])
        }
        self.outputs: dict[str, dict[str, Any]] = {
            name: self._resolve(output)
            for name, output in expanded()["Outputs"].items()
            if "Condition" not in output or self.holds(output["Condition"])
        }

    def holds(self, condition: str) -> bool:
        """Whether a condition of the template is true."""
        return bool(self._resolve(self._conditions[condition]))

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """The properties of all resources of a type, by logical id."""
        return {
            name: resource.get("Properties", {})
            for name, resource in self.resources.items()
            if resource["Type"] == kind
        }

    def environment(self, function: str) -> dict[str, str]:
        """The environment that a function gets."""
        variables: dict[str, Any] = self.resources[function]["Properties"]["Environment"]["Variables"]
        return {name: str(value) for name, value in variables.items()}

    def statements(self, function: str) -> Iterator[dict[str, Any]]:
        """Every statement of the policies that a function's role has, with lists for actions and resources."""
        role = self.resources[function]["Properties"]["Role"].rpartition("/")[2]
        policies = list(self.resources[role]["Properties"]["Policies"])
        policies += [policy for policy in self.of_type("AWS::IAM::Policy").values() if role in policy["Roles"]]
        assert not self.resources[role]["Properties"].get("ManagedPolicyArns"), "policies of others are not read here"
        for policy in policies:
            for statement in policy["PolicyDocument"]["Statement"]:
                yield statement | {key: as_list(statement[key]) for key in ("Action", "Resource")}

    def grants(self, function: str) -> set[tuple[str, str]]:
        """Every pair of action and resource that a function's role is allowed."""
        return {
            (action, resource)
            for statement in self.statements(function)
            for action in statement["Action"]
            for resource in statement["Resource"]
        }

    def arn(self, name: str) -> str:
        """The ARN of a resource."""
        return _ARN[self._types[name]] % name

    def _resolve(self, node: Any) -> Any:
        if isinstance(node, list):
            return [value for value in map(self._resolve, node) if value is not _NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((key, argument),) = node.items()
            if key in {"Ref", "Condition"} or key.startswith("Fn::"):
                return self._function(key, argument)
        resolved = {key: self._resolve(value) for key, value in node.items()}
        return {key: value for key, value in resolved.items() if value is not _NO_VALUE}

    def _function(self, name: str, argument: Any) -> Any:  # noqa: PLR0911 - one answer per function
        match name:
            case "Ref":
                return self._ref(argument)
            case "Condition":
                return self.holds(argument)
            case "Fn::GetAtt":
                return self._attribute(*argument)
            case "Fn::Sub":
                return self._substituted(argument)
            case "Fn::If":
                return self._resolve(argument[1] if self.holds(argument[0]) else argument[2])
            case "Fn::Join":
                return argument[0].join(self._resolve(argument[1]))
            case "Fn::Equals":
                first, second = self._resolve(argument)
                return str(first) == str(second)
            case "Fn::Not":
                return not self._resolve(argument[0])
            case "Fn::And":
                return all(self._resolve(argument))
            case _:
                raise NotImplementedError(name)

    def _ref(self, name: str) -> Any:
        if name in _PSEUDO:
            return _PSEUDO[name]
        if name in self.parameters:
            return self.parameters[name]
        return self.arn(name) if self._types[name] in _REF_IS_ARN else name

    def _attribute(self, name: str, attribute: str) -> str:
        if attribute == "Arn":
            return self.arn(name)
        assert name in self._types, f"no resource {name}"
        return name if attribute in _NAME_ATTRIBUTES else f"{name}.{attribute}"

    def _substituted(self, text: str) -> str:
        before, opening, rest = text.partition("${")
        if not opening:
            return text
        name, closing, after = rest.partition("}")
        assert closing, text
        value = self._attribute(*name.split(".")) if "." in name else self._ref(name)
        return f"{before}{value}{self._substituted(after)}"


def as_list(value: Any) -> list[Any]:
    """What may stand alone in a policy, as a list."""
    return value if isinstance(value, list) else [value]
