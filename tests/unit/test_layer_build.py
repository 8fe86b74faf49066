"""The steps that build the dependency layer, as far as they need no network; tests/e2e/test_build.py has the result."""

import importlib.util
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


def test_the_calls_that_stay_are_those_that_the_code_makes(build: ModuleType) -> None:
    assert {service: set(names) for service, names in build.OPERATIONS.items()} == {
        service: {operations_of(service)[method] for method in methods}
        for service, methods in operations_in_the_code().items()
    }
