"""The reader gives the template as a deployment sees it."""

from pathlib import Path

import pytest

from template_reader import Deployment, Template, TemplateError


def written(folder: Path, text: str, deployment: Deployment | None = None) -> Template:
    path = folder / "template.yaml"
    path.write_text(text, encoding="utf-8")
    return Template(path, deployment)


def test_a_deployment_gives_parameters_and_names_of_its_own() -> None:
    deployment = Deployment(
        parameters={"SessionDefaultTimeoutMinutes": "7.5"}, resources={"SessionsTable": "mine"}, stack="s", region="r"
    )
    template = Template(deployment=deployment)
    environment = template.environment("SessionApiFunction")
    assert environment["SESSION_DEFAULT_TIMEOUT_MINUTES"] == "7.5"
    assert environment["SESSIONS_TABLE"] == "mine"
    assert template.environment("ExpirySweeperFunction")["EVENT_SOURCE"] == "/agent-sessions/r/s"


def test_a_rule_that_is_switched_off_is_none() -> None:
    template = Template(deployment=Deployment(parameters={"Gauge": "off"}))
    assert [rule.name for rule in template.schedules("ExpirySweeperFunction")] == ["Sweep"]


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(TemplateError, match="no function called Nothing"):
        Template().environment("Nothing")
    with pytest.raises(TemplateError, match="no resource called Nothing"):
        Template().property_of("Nothing", "Name")


RESOURCE = """
Mappings:
  M: {one: {x: found}}
Parameters:
  P: {Type: String, Default: one}
Conditions:
  Is: !Equals [!Ref P, one]
  IsNot: !Not [!Condition Is]
  Both: !And [!Condition Is, !Condition IsNot]
  Either: !Or [!Condition Is, !Condition IsNot]
  Odd: !Something [a]
Resources:
  Thing:
    Type: Some::Thing
    Properties:
      VALUE
"""


@pytest.mark.parametrize(
    "value, resolved",
    [
        ("A: !Sub 'a ${P} ${!P} ${AWS::Region}'", "a one ${P} eu-west-1"),
        ("A: !Sub ['${X}/${P}', {X: !Ref AWS::AccountId}]", "123456789012/one"),
        ("A: !Join ['-', [a, !Ref P]]", "a-one"),
        ("A: !If [Is, 1, 2]", 1),
        ("A: !If [IsNot, 1, 2]", 2),
        ("A: !FindInMap [M, !Ref P, x]", "found"),
        ("A: !FindInMap [M, !Ref P, x, {DefaultValue: none}]", "found"),
        ("A: !FindInMap [M, !Ref P, y, {DefaultValue: none}]", "none"),
        ("A: !FindInMap [M, two, x, {DefaultValue: none}]", "none"),
        ("A: !GetAtt Thing.Name", "Thing.Name"),
        ("A: !If [Both, 1, 2]", 2),
        ("A: !If [Either, 1, 2]", 1),
        ("A: [1, !Ref AWS::NoValue, true]", [1, True]),
        ("A: {B: !Ref AWS::NoValue, C: {Ref: Thing}}", {"C": "Thing"}),
    ],
)
def test_intrinsic_functions_say_what_they_say_in_cloudformation(tmp_path: Path, value: str, resolved: object) -> None:
    template = written(tmp_path, RESOURCE.replace("VALUE", value))
    assert template.property_of("Thing", "A") == resolved
