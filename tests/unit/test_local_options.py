"""What `make run` takes, how its functions' log is kept, and how the demo fails."""

import io
import json
from pathlib import Path

import pytest

from local.demo import Client, DemoError
from local.functions import FunctionLog, LambdaFunction
from local.options import OptionError, Options


@pytest.mark.parametrize(
    "name, value, said",
    [
        ("PORT", "http", "PORT is a number from 0 to 65535"),
        ("PORT", "65536", "PORT is a number"),
        ("PORT", "-1", "PORT is a number"),
        ("PORT", "٣", "PORT is a number"),
        ("STORE", "postgres", "STORE is memory or dynamodb-local, not 'postgres'"),
        ("STORE", "moto", "STORE=moto is now called STORE=memory"),
        ("AUTH", "maybe", "AUTH is 1 or 0, not 'maybe'"),
        ("ALLOW_HOSTS", "http://box", "ALLOW_HOSTS is a list of host names without ports"),
        ("AGENT", "me", "AGENT is echo or none, or an address such as http://127.0.0.1:9000/hook, not 'me'"),
        ("FORWARD_TO", "127.0.0.1:9000", "FORWARD_TO is an address such as http://127.0.0.1:9000/hook"),
        ("FORWARD_TO", "http://", "FORWARD_TO is an address"),
        ("FORWARD_TO", "http://box:x", "FORWARD_TO is an address"),
        ("FORWARD_FILTER", "[]", "FORWARD_FILTER is a filter policy of SNS, a JSON object, not '[]'"),
        ("FORWARD_FILTER", "{", "FORWARD_FILTER is a filter policy"),
        ("ALLOW_HOSTS", "box:3000", "ALLOW_HOSTS is a list of host names without ports"),
    ],
)
def test_what_an_option_may_not_be_is_said_in_a_sentence(name: str, value: str, said: str) -> None:
    with pytest.raises(OptionError) as refused:
        Options.from_env({name: value})
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "host, answered",
    [
        ("127.0.0.1:3000", True),
        ("LocalHost", True),
        ("[::1]:80", True),
        ("fd00::1", False),
        ("[fd00::1]:3000", True),
        ("box:3000", True),
        ("Lab.example", True),
        ("lab.example.evil.test", False),
        ("evil.test:3000", False),
        ("localhost.evil.test", False),
        ("127.0.0.1@evil.test", False),
        ("", False),
    ],
)
def test_it_answers_to_its_own_names_and_those_that_are_allowed(host: str, answered: bool) -> None:  # noqa: FBT001
    options = Options.from_env({"HOST": "fd00::1", "ALLOW_HOSTS": "box, lab.EXAMPLE"})
    assert options.answers_to(host) is answered


def test_a_functions_log_goes_to_a_file_and_its_errors_to_the_terminal_too(tmp_path: Path) -> None:
    terminal = io.StringIO()
    log = FunctionLog()
    print("before it is opened", file=log)
    log.open(tmp_path / "log" / "functions.log", terminal)
    print(json.dumps({"level": "INFO", "message": "request"}, separators=(",", ":")), file=log)
    error = {"level": "ERROR", "message": "request", "route": "POST /", "exception": "Traceback: line\nline"}
    print(json.dumps(error, separators=(",", ":")), file=log)
    log.flush()
    log.close()
    print("after it was closed", file=log)
    assert len(log.path.read_text("utf-8").splitlines()) == 2
    assert not log.isatty()
    assert "ERROR in the function: request route=POST /\nTraceback: line\nline" in terminal.getvalue()
    assert "INFO" not in terminal.getvalue()


def test_events_and_answers_pass_through_json_as_on_lambda(monkeypatch: pytest.MonkeyPatch) -> None:
    function = LambdaFunction("session_api", timeout_seconds=10)
    monkeypatch.setattr(function, "_handler", lambda event, context: {"got": event, "name": context.function_name})
    event = {"a": (1, 2)}
    assert function(event) == {"got": {"a": [1, 2]}, "name": "session_api"}
    monkeypatch.setattr(function, "_handler", lambda event, context: {1, 2})
    with pytest.raises(TypeError):
        function({})


def test_the_demo_says_where_it_found_no_stack() -> None:
    with pytest.raises(DemoError, match=r"no local stack answers at http://127\.0\.0\.1:9 .*make run"):
        Client("http://127.0.0.1:9").call("GET", "/")
