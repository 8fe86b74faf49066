"""The steps that build the dependency layer, as far as they need no network; tests/e2e/test_build.py has the result."""

import gzip
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import certifi
import pytest

from tests.template_reader import PATH
from tests.unit.calls_in_code import operations_in_the_code, operations_of


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("layer_build", PATH.parent / "layers" / "dependencies" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_another_python_than_the_runtimes_is_refused_with_both_versions(
    build: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(build, "RUNTIME", (2, 7))
    monkeypatch.setattr(sys, "argv", ["build.py", str(tmp_path), "--lock", "requirements.lock"])
    with pytest.raises(SystemExit, match=rf"compiled for Python 2\.7, this is {sys.version_info[0]}\."):
        build.main()
    assert not list(tmp_path.iterdir())


def test_a_bundle_that_lacks_a_root_stops_the_build_and_names_it(build: ModuleType, tmp_path: Path) -> None:
    bundle = tmp_path / "cacert.pem"
    bundle.write_text(build.amazon_roots(Path(certifi.where())).partition("# Amazon Root CA 4")[0])
    with pytest.raises(SystemExit, match=r"cacert\.pem lacks Amazon Root CA 4, Starfield Services Root CA - G2"):
        build.amazon_roots(bundle)


def test_of_botocores_descriptions_the_calls_in_use_stay_in_their_newest_version(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "OPERATIONS", {"dynamodb": ("GetItem",)})
    described = {
        "documentation": "text",
        "version": "2.0",
        "operations": {"GetItem": {"input": {"shape": "Key"}}, "ListTables": {"output": {"shape": "Names"}}},
        "shapes": {
            "Key": {"type": "structure", "members": {"shape": {"shape": "Text", "documentation": "text"}}},
            "Text": {"type": "string"},
            "Names": {"type": "list", "member": {"shape": "Name"}},
            "Name": {"type": "string"},
        },
    }
    for service, version in (("dynamodb", "2012-01-01"), ("dynamodb", "2020-01-01"), ("ec2", "2020-01-01")):
        folder = tmp_path / service / version
        folder.mkdir(parents=True)
        (folder / "service-2.json.gz").write_bytes(gzip.compress(json.dumps(described).encode()))
        (folder / "endpoint-rule-set-1.json.gz").write_bytes(gzip.compress(b'{"rules": []}'))
        (folder / "paginators-1.json").write_text("{}")
    partition = {"partition": "aws", "services": {"dynamodb": {"endpoints": {}}, "ec2": {"endpoints": {}}}}
    (tmp_path / "endpoints.json").write_text(json.dumps({"partitions": [partition]}))
    build.trim_botocore(tmp_path)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.json*")) == [
        "dynamodb/2020-01-01/endpoint-rule-set-1.json",
        "dynamodb/2020-01-01/service-2.json",
        "endpoints.json",
    ]
    assert json.loads((tmp_path / "dynamodb/2020-01-01/service-2.json").read_text()) == {
        "version": "2.0",
        "operations": {"GetItem": {"input": {"shape": "Key"}}},
        "shapes": {
            "Key": {"type": "structure", "members": {"shape": {"shape": "Text"}}},
            "Text": {"type": "string"},
        },
    }
    (kept,) = json.loads((tmp_path / "endpoints.json").read_text())["partitions"]
    assert kept == {"partition": "aws", "services": {"dynamodb": {"endpoints": {}}}}


def test_the_calls_that_stay_are_those_that_the_code_makes(build: ModuleType) -> None:
    assert {service: set(names) for service, names in build.OPERATIONS.items()} == {
        service: {operations_of(service)[method] for method in methods}
        for service, methods in operations_in_the_code().items()
    }


def test_what_is_unused_is_removed_and_metadata_and_licences_stay(build: ModuleType, tmp_path: Path) -> None:
    kept = ["boto3/session.py", "urllib3/connection.py", "a-1.dist-info/METADATA", "a-1.dist-info/licenses/LICENSE"]
    removed = ["boto3/examples/x.rst", "a/b/tests/test_b.py", "a/b.pyi", "a-1.dist-info/RECORD", "bin/tool"]
    for name in (*kept, *removed):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    build.trim_packages(tmp_path)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)
