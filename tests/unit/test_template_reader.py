"""The reader gives the template as a deployment sees it."""

from pathlib import Path

import pytest

from template_reader import Deployment, Route, Schedule, Template, TemplateError

FUNCTIONS = ["SessionApiFunction", "ExpirySweeperFunction", "ApiKeyAuthorizerFunction"]
LOCAL = Deployment(parameters={"AmazonCaBundle": "off"})


def written(folder: Path, text: str, deployment: Deployment | None = None) -> Template:
    path = folder / "template.yaml"
    path.write_text(text, encoding="utf-8")
    return Template(path, deployment)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_variable_of_a_function_has_a_value(function: str) -> None:
    environment = Template(deployment=LOCAL).environment(function)
    assert environment["POWERTOOLS_SERVICE_NAME"] == "local"
    assert all(value for name, value in environment.items() if not name.endswith("SHARDS"))


def test_a_deployment_gives_parameters_and_names_of_its_own() -> None:
    deployment = Deployment(
        parameters={"SessionDefaultTimeoutMinutes": "7.5"}, resources={"SessionsTable": "mine"}, stack="s", region="r"
    )
    template = Template(deployment=deployment)
    environment = template.environment("SessionApiFunction")
    assert environment["SESSION_DEFAULT_TIMEOUT_MINUTES"] == "7.5"
    assert environment["SESSIONS_TABLE"] == "mine"
    assert template.environment("ExpirySweeperFunction")["EVENT_SOURCE"] == "/agent-sessions/r/s"


def test_a_condition_decides_which_value_holds() -> None:
    deployment = Deployment(parameters={"EventSource": "/mine"})
    assert Template(deployment=deployment).environment("ExpirySweeperFunction")["EVENT_SOURCE"] == "/mine"


def test_a_variable_without_a_value_is_left_out() -> None:
    assert "AWS_CA_BUNDLE" in Template().environment("SessionApiFunction")
    assert "AWS_CA_BUNDLE" not in Template(deployment=LOCAL).environment("SessionApiFunction")


def test_the_sweeper_has_a_rule_each_minute_and_a_gauge_each_five() -> None:
    assert Template().schedules("ExpirySweeperFunction") == [
        Schedule("Sweep", 1, None),
        Schedule("Gauge", 5, '{"pass":"gauge"}'),
    ]


def test_a_rule_that_is_switched_off_is_none() -> None:
    template = Template(deployment=Deployment(parameters={"Gauge": "off"}))
    assert [rule.name for rule in template.schedules("ExpirySweeperFunction")] == ["Sweep"]


def test_it_knows_which_routes_need_a_key() -> None:
    routes = Template().routes()
    assert Route("$default", needs_key=True, function="SessionApiFunction") in routes
    assert Route("HEAD /api/messaging/sessions/health/", needs_key=False, function="SessionApiFunction") in routes
    others = [route for route in routes if route.needs_key and route.key != "$default"]
    assert {route.function for route in others} == {"SessionMessagesFunction"}
    assert {route.key.split("{id}")[1] for route in others} == {
        "/messages",
        "/messages/",
        "/messages/{messageId}",
        "/messages/{messageId}/",
    }


def test_cors_is_there_once_origins_are_given() -> None:
    assert Template().property_of("SessionsHttpApi", "CorsConfiguration") is None
    open_to_all = Template(
        deployment=Deployment(parameters={"CorsAllowOrigins": "https://a.example,https://b.example"})
    )
    cors = open_to_all.property_of("SessionsHttpApi", "CorsConfiguration")
    assert cors["AllowOrigins"] == ["https://a.example", "https://b.example"]


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


@pytest.mark.parametrize(
    "value, said",
    [
        ("A: !Ref Nowhere", "refers to Nowhere"),
        ("A: !Split [',', a]", "Fn::Split is not read"),
        ("A: !If [Odd, 1, 2]", "no condition"),
    ],
)
def test_what_it_cannot_read_it_refuses(tmp_path: Path, value: str, said: str) -> None:
    template = written(tmp_path, RESOURCE.replace("VALUE", value))
    with pytest.raises(TemplateError, match=said):
        template.property_of("Thing", "A")


def test_a_schedule_that_is_no_rate_is_refused(tmp_path: Path) -> None:
    template = written(
        tmp_path,
        """
Resources:
  F:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        E: {Type: Schedule, Properties: {Schedule: "cron(0 * * * ? *)"}}
""",
    )
    with pytest.raises(TemplateError, match="must be a rate in minutes"):
        template.schedules("F")
