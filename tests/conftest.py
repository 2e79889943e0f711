"""What every test may use: the `--long` switch, and a printed seed for the random ones."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from grange import kernel

# Property tests draw the same examples on every run in CI; --hypothesis-seed changes them anywhere.
settings.register_profile("ci", derandomize=True, deadline=None, max_examples=60)
settings.register_profile("local", deadline=None, max_examples=60)
settings.register_profile("long", deadline=None, max_examples=1000)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also run the slow, deep tests")


def pytest_report_header() -> str:
    return f"hashing and coding by {kernel.describe()}"


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--long"):
        settings.load_profile("long")
    else:
        settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if " at 0x" in item.nodeid:  # processes that share the tests must all call a test the same
            raise pytest.UsageError(f"an address is in the name of a test: {item.nodeid}")
    if config.getoption("--long"):
        return
    skip = pytest.mark.skip(reason="a long run: scripts/test --long")
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(skip)
