"""What `sam build` makes is what Lambda can run: complete, compiled, small, with no trace of where it was made."""

import importlib.metadata
import io
import json
import os
import re
import shutil
import ssl
import subprocess
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import botocore.session
import pytest
from samtranslator.yaml_helper import yaml_parse

from template_reader import expand
from tests.e2e.test_lint import faults_in
from tests.template_reader import FUNCTIONS, PATH, REGION, Deployment

ROOT = PATH.parent
BUILD = ROOT / ".aws-sam" / "build"
PYTHON = ROOT / ".venv-sam" / "bin" / "python"  # the deployed runtime's version
DOMAIN, DEPENDENCIES = BUILD / "DomainLayer", BUILD / "DependenciesLayer"
LOCK = ROOT / "layers" / "dependencies" / "requirements.lock"
FOLDERS = {
    "SessionApiFunction": "session_api",
    "SessionMessagesFunction": "session_messages",
    "ExpirySweeperFunction": "expiry_sweeper",
    "ApiKeyAuthorizerFunction": "api_key_authorizer",
    "EraserFunction": "eraser",
    "MessagePublisherFunction": "message_publisher",
}
SERVICES = ("dynamodb", "lambda", "sns", "sqs")
REGIONS = ("us-east-1", "eu-west-1", "me-central-1", "us-gov-west-1", "cn-north-1", "eu-made-up-1")
DISTRIBUTION_DATE = datetime(1980, 1, 1, tzinfo=UTC).timestamp()


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    """Build unless that is done already."""
    made = subprocess.run(["make", "--silent", "build"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr


def python(script: str, *folders: Path, **environment: str) -> str:
    """What a script prints in an interpreter that has these folders and the standard library, and no more."""
    path = os.pathsep.join(map(str, folders))
    clean = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "AWS_DEFAULT_REGION": "eu-west-1"}
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    ran = subprocess.run(
        [PYTHON, "-S", "-c", script],
        env=clean | keys | environment,
        cwd=folders[0],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def start(function: str, build: Path = BUILD) -> list[str]:
    """Start a built function as Lambda's init phase does; the files of all modules that it has then."""
    script = """
import app, json, sys
assert callable(app.handler)
print(json.dumps([module.__file__ for module in sys.modules.values() if getattr(module, "__file__", None)]))
"""
    folders = [build / function, build / "DomainLayer" / "python", build / "DependenciesLayer" / "python"]
    bundle = str(build / "DependenciesLayer" / "amazon-roots.pem")
    # With the runtime's address in its environment a function builds all it needs at once, lazy imports included.
    environment = Deployment().environment(function) | {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1"}
    loaded: list[str] = json.loads(python(script, *folders, **(environment | {"AWS_CA_BUNDLE": bundle})))
    return loaded


def zipped_size(folder: Path) -> int:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for path in folder.rglob("*"):
            target.write(path, path.relative_to(folder))
    return len(archive.getvalue())


def modules(build: Path = BUILD) -> Iterator[Path]:
    for folder in (*FUNCTIONS, "DomainLayer", "DependenciesLayer"):
        yield from (build / folder).rglob("*.py")


def locked() -> dict[str, str]:
    pins = re.findall(r"^([a-z0-9.-]+)==([^ ;]+)", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    return {name.replace("_", "-"): version for name, version in pins}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_built_function_starts_with_its_own_folder_and_the_layers_alone(function: str) -> None:
    from_build = [name for name in start(function) if "/site-packages/" in name or name.startswith(str(ROOT))]
    assert any(name.startswith(str(DOMAIN)) for name in from_build)
    assert [name for name in from_build if not name.startswith(str(BUILD))] == []


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build as it arrives, all files dated 1980, with sources that must not be read."""
    copy = tmp_path_factory.mktemp("shipped") / "build"
    shutil.copytree(BUILD, copy)
    for source in modules(copy):
        source.write_text("raise SystemExit(f'the source of {__name__} was read')\n")
    for path in copy.rglob("*"):
        os.utime(path, (DISTRIBUTION_DATE, DISTRIBUTION_DATE))
    return copy


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_dated_1980_runs_what_was_compiled_and_never_its_sources(function: str, shipped: Path) -> None:
    assert start(function, shipped)


def test_every_module_is_compiled_for_the_runtime_and_never_checked_against_its_source() -> None:
    magic = bytes.fromhex(python("import importlib.util; print(importlib.util.MAGIC_NUMBER.hex())", BUILD))
    unchecked_hash = (1).to_bytes(4, "little")
    for source in modules():
        compiled = source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc"
        assert compiled.read_bytes()[:8] == magic + unchecked_hash, source


def test_the_layer_of_dependencies_is_under_ten_megabytes_zipped() -> None:
    assert zipped_size(DEPENDENCIES) < 10_000_000


def test_the_layer_holds_what_the_lock_names_with_names_versions_and_licences() -> None:
    held = {}
    for distribution in importlib.metadata.distributions(path=[str(DEPENDENCIES / "python")]):
        held[distribution.name.replace("_", "-").lower()] = distribution.version
        folder = DEPENDENCIES / "python" / f"{distribution.name.replace('-', '_')}-{distribution.version}.dist-info"
        assert list(folder.rglob("LICEN[CS]E*")), distribution.name
    assert held == locked()


def test_compiled_extensions_are_there_for_both_processors() -> None:
    machines = {"aarch64": 0xB7, "x86_64": 0x3E}  # e_machine of ELF
    extensions = {path.name: path for path in DEPENDENCIES.rglob("*.so")}
    assert {f"_pydantic_core.cpython-313-{machine}-linux-gnu.so" for machine in machines} == set(extensions)
    for machine, code in machines.items():
        header = extensions[f"_pydantic_core.cpython-313-{machine}-linux-gnu.so"].read_bytes()[:20]
        assert header[:4] == b"\x7fELF"
        assert int.from_bytes(header[18:20], "little") == code


def test_the_trimmed_descriptions_lead_to_the_same_places_as_the_whole_ones() -> None:
    script = f"""
import botocore.session, json
session = botocore.session.get_session()
print(json.dumps([
    [session.create_client(service, region_name=region).meta.endpoint_url for region in {REGIONS}]
    for service in {SERVICES}
]))
"""
    session = botocore.session.get_session()
    expected = [
        [session.create_client(service, region_name=region).meta.endpoint_url for region in REGIONS]
        for service in SERVICES
    ]
    assert json.loads(python(script, DEPENDENCIES / "python")) == expected


def test_the_bundle_of_certificates_has_amazons_five_roots_all_good_for_years() -> None:
    bundle = Path(Deployment().environment("SessionApiFunction")["AWS_CA_BUNDLE"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(DEPENDENCIES / bundle.relative_to("/opt"))
    roots = context.get_ca_certs()
    assert {dict(part[0] for part in root["subject"])["commonName"] for root in roots} == {  # type: ignore[misc]
        "Amazon Root CA 1",
        "Amazon Root CA 2",
        "Amazon Root CA 3",
        "Amazon Root CA 4",
        "Starfield Services Root Certificate Authority - G2",
    }
    in_two_years = (datetime.now(UTC) + timedelta(days=730)).timestamp()
    assert all(ssl.cert_time_to_seconds(str(root["notAfter"])) > in_two_years for root in roots)


def test_the_domain_layer_is_the_package_and_a_function_its_one_file() -> None:
    package = ROOT / "layers" / "domain" / "agent_sessions"
    held = {
        path.relative_to(DOMAIN / "python" / "agent_sessions"): path for path in modules() if DOMAIN in path.parents
    }
    written = {path.relative_to(package): path for path in package.rglob("*.py")}
    assert held.keys() == written.keys()
    for name, path in held.items():
        assert path.read_bytes() == written[name].read_bytes(), name
    assert FOLDERS.keys() == set(FUNCTIONS)
    for function, folder in FOLDERS.items():
        assert [path.name for path in (BUILD / function).rglob("*.py")] == ["app.py"]
        source = ROOT / "functions" / folder / "app.py"
        assert (BUILD / function / "app.py").read_bytes() == source.read_bytes()


def test_the_linter_for_cloudformation_finds_nothing_in_what_the_built_template_expands_to() -> None:
    built = yaml_parse((BUILD / "template.yaml").read_text(encoding="utf-8"))
    assert faults_in(expand(built, region=REGION)) == []
