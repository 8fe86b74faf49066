"""What `sam local` makes of the template and of local/env.json, by the SAM CLI's own code; no container is started."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
SAM: Final = ROOT / ".venv-sam" / "bin"
RESOLVE: Final = """
import importlib, json
from samcli.lib.providers.api_provider import ApiProvider
from samcli.lib.providers.sam_function_provider import SamFunctionProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider
from samcli.local.lambdafn.env_vars import EnvironmentVariables

told = json.load(open("local/env.json"))
stacks, _ = SamLocalStackProvider.get_stacks("template.yaml", parameter_overrides={"Architecture": "x86_64"})
functions = {}
for each in SamFunctionProvider(stacks).get_all():
    overrides = told["Parameters"] | told[each.name]
    variables = EnvironmentVariables(
        each.name, each.memory, each.timeout, each.handler, None,
        variables=each.environment["Variables"], override_values=overrides,
    )
    functions[each.name] = {
        "environment": variables.resolve(), "architectures": each.architectures, "layers": [x.name for x in each.layers]
    }
routes = [
    [each.path, sorted(each.methods), each.function_name, each.authorizer_name] for each in ApiProvider(stacks).routes
]
flags = {}
for verb in ("deploy", "local invoke", "local start-api", "local start-lambda"):
    module = "samcli.commands." + verb.replace(" ", ".").replace("-", "_") + (".cli" if "local" in verb else "")
    options = importlib.import_module(module).cli.params
    flags[verb] = [flag for option in options for flag in option.opts]
print(json.dumps({"functions": functions, "routes": routes, "flags": flags}))
"""


@cache
def resolved() -> Any:
    done = subprocess.run([SAM / "python", "-c", RESOLVE], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_every_function_gets_an_environment_without_a_gap() -> None:
    told = json.loads((ROOT / "local" / "env.json").read_text(encoding="utf-8"))
    for name, function in resolved()["functions"].items():
        expected = told["Parameters"] | told[name]
        assert expected.items() <= function["environment"].items()
        assert all(function["environment"].values()), "boto3 refuses an empty bundle of certificates"


def test_the_api_has_its_routes_and_asks_for_keys_where_the_gateway_does() -> None:
    routes = {path: authorizer for path, _, _, authorizer in resolved()["routes"]}
    sessions = "/api/messaging/sessions"
    of_the_messages_function = ["messages", "messages/{messageId}", "messages/batch", "export"]
    open_to_all = [f"{sessions}/health", f"{sessions}/health/", "/{proxy+}"]
    with_keys = [
        "$default",
        *(f"{sessions}/{{id}}/{path}{end}" for path in of_the_messages_function for end in ("", "/")),
    ]
    assert routes == dict.fromkeys(open_to_all) | dict.fromkeys(with_keys, "ApiKeyAuthorizer")


def test_the_flags_of_the_documented_commands_exist() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8").replace("\\\n", " ")
    commands = re.findall(r"\.venv-sam/bin/sam ((?:local )?[a-z-]+)(.*)", text)
    assert {verb for verb, _ in commands} == resolved()["flags"].keys()
    for verb, rest in commands:
        assert set(re.findall(r"--[a-z-]+", rest.partition("#")[0])) <= set(resolved()["flags"][verb])


def deploy(folder: Path) -> str:
    """What `sam deploy` says in a checkout of these files, with credentials and no region. It must fail."""
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "SAM_CLI_TELEMETRY": "0"}
    done = subprocess.run(
        [SAM / "sam", "deploy", "--config-env", "dev"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)} | keys,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    return done.stdout + done.stderr


def test_a_deployment_without_a_build_or_a_region_stops(tmp_path: Path) -> None:
    for name in ("samconfig.toml", "template.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    told = " ".join(deploy(tmp_path).split())
    assert "not found" in told
    assert ".aws-sam/build/template.yaml" in told
    built = tmp_path / ".aws-sam" / "build" / "template.yaml"
    built.parent.mkdir(parents=True)
    shutil.copy(ROOT / "template.yaml", built)
    assert "region" in deploy(tmp_path)


def test_every_deployment_that_is_configured_takes_what_was_built() -> None:
    configured = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    deployments = [each["deploy"]["parameters"] for name, each in configured.items() if name != "version"]
    assert len(deployments) == 3
    assert {each["template_file"] for each in deployments} == {".aws-sam/build/template.yaml"}
