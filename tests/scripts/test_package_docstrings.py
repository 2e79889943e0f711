"""The docstring of each package says what its modules are for: all of them, and none that is gone."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(
    init.parent
    for folder in ("protocol/grange", "node/grange_node", "client/grange_client", "devnet", "simulate")
    for init in (ROOT / folder).rglob("__init__.py")
)


def _modules(package: Path) -> set[str]:
    files = {path.stem for path in package.glob("*.py")} - {"__init__", "__main__"}
    return files | {path.parent.name for path in package.glob("*/__init__.py")}


def _words(package: Path) -> str:
    return ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_a_package_names_each_of_its_modules(package: Path) -> None:
    named = set(re.findall(r"\w+", _words(package)))
    assert not _modules(package) - named


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_a_package_names_no_file_that_it_lacks(package: Path) -> None:
    named = set(re.findall(r"\b(\w+)\.py\b", _words(package)))
    assert not named - _modules(package)
