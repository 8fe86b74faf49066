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


def test_amazons_roots_are_found_in_certifis_bundle_and_nothing_else_is_taken(build: ModuleType) -> None:
    roots = build.amazon_roots(Path(certifi.where()))
    assert roots.count("BEGIN CERTIFICATE") == len(build.AMAZON_ROOTS) == 5


def test_a_bundle_that_lacks_a_root_stops_the_build_and_names_it(build: ModuleType, tmp_path: Path) -> None:
    bundle = tmp_path / "cacert.pem"
    bundle.write_text(build.amazon_roots(Path(certifi.where())).partition("# Amazon Root CA 4")[0])
    with pytest.raises(SystemExit, match=r"cacert\.pem lacks Amazon Root CA 4, Starfield Services Root CA - G2"):
        build.amazon_roots(bundle)


def test_descriptions_lose_their_texts_but_no_member_that_is_called_documentation(build: ModuleType) -> None:
    described = {
        "documentation": "<p>What this is.</p>",
        "members": {"documentation": {"shape": "String", "documentation": "<p>Its text.</p>"}},
        "required": ["documentation"],
    }
    assert build.without_documentation(described) == {
        "members": {"documentation": {"shape": "String"}},
        "required": ["documentation"],
    }


def test_of_botocores_descriptions_the_services_in_use_stay(build: ModuleType, tmp_path: Path) -> None:
    for service in ("dynamodb", "ec2"):
        folder = tmp_path / service / "2020-01-01"
        folder.mkdir(parents=True)
        (folder / "service-2.json.gz").write_bytes(gzip.compress(b'{"documentation": "text", "version": "2.0"}'))
        (folder / "examples-1.json").write_text("{}")
    partition = {"partition": "aws", "services": {"dynamodb": {"endpoints": {}}, "ec2": {"endpoints": {}}}}
    (tmp_path / "endpoints.json").write_text(json.dumps({"partitions": [partition]}))
    build.trim_botocore(tmp_path)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.json*")) == [
        "dynamodb/2020-01-01/service-2.json",
        "endpoints.json",
    ]
    assert json.loads((tmp_path / "dynamodb/2020-01-01/service-2.json").read_text()) == {"version": "2.0"}
    (kept,) = json.loads((tmp_path / "endpoints.json").read_text())["partitions"]
    assert kept == {"partition": "aws", "services": {"dynamodb": {"endpoints": {}}}}


def test_what_is_unused_is_removed_and_metadata_and_licences_stay(build: ModuleType, tmp_path: Path) -> None:
    kept = ["boto3/session.py", "urllib3/connection.py", "a-1.dist-info/METADATA", "a-1.dist-info/licenses/LICENSE"]
    removed = ["boto3/examples/x.rst", "a/b/tests/test_b.py", "a/b.pyi", "a-1.dist-info/RECORD", "bin/tool"]
    for name in (*kept, *removed):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    build.trim_packages(tmp_path)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)


def test_every_entry_of_what_is_unused_has_its_reason(build: ModuleType) -> None:
    assert all(len(reason) > 4 for reason in build.UNUSED.values())
