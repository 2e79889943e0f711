"""Building the kernel is never in the way: without a compiler, or if building fails, one line says so."""

import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


class Checkout:
    """The shared part of the scripts, with stand-ins for cargo and for the Python of the environment."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copytree(REPOSITORY / "scripts/lib", root / "scripts/lib")
        shutil.copytree(REPOSITORY / "kernel", root / "kernel", ignore=shutil.ignore_patterns("target"))
        self.builds(fails=False)

    def builds(self, *, fails: bool) -> None:
        """From now on pip fails, or not."""
        self.program(".venv/bin/python", f'echo "$@" >>"{self.root}/calls"; exit {int(fails)}')

    def program(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)

    def set_up(self, **environment: str) -> tuple[int, str]:
        """Return code and words of `setup_kernel`."""
        path = f"{self.root}/bin:{self.tools()}"
        done = subprocess.run(
            ["/bin/bash", "-c", ". scripts/lib/setup.sh && setup_kernel"],
            cwd=self.root,
            env={"PATH": path, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert not done.stdout
        return done.returncode, done.stderr

    def tools(self) -> Path:
        """What the function needs of a system, and no cargo."""
        folder = self.root / "tools"
        if not folder.exists():
            folder.mkdir()
            for name in ("cat", "cksum", "dirname", "flock"):
                if found := shutil.which(name):
                    (folder / name).symlink_to(found)
        return folder

    def calls(self) -> int:
        """How often pip was called."""
        file = self.root / "calls"
        return len(file.read_text().splitlines()) if file.exists() else 0


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_without_cargo_one_line_says_so_and_nothing_is_tried(checkout: Checkout) -> None:
    code, words = checkout.set_up()
    assert (code, words.count("\n")) == (1, 1)
    assert "no cargo on PATH" in words
    assert checkout.calls() == 0


def test_it_is_built_once_for_each_state_of_its_sources(checkout: Checkout) -> None:
    checkout.program("bin/cargo", "exit 0")
    assert checkout.set_up() == (0, "building the Rust kernel; this takes a minute the first time\n")
    assert checkout.set_up() == (0, "")
    assert checkout.calls() == 1
    with (checkout.root / "kernel/src/sha256/x86.rs").open("a") as source:
        source.write("\n")
    assert checkout.set_up()[0] == 0
    assert checkout.calls() == 2


def test_what_was_built_before_is_not_said_to_be_missing_where_cargo_is_gone(checkout: Checkout) -> None:
    cargo = checkout.root / "bin/cargo"
    checkout.program("bin/cargo", "exit 0")
    checkout.set_up()
    cargo.unlink()
    assert checkout.set_up() == (0, "")


def test_a_build_that_fails_is_told_once_and_not_tried_by_every_command(checkout: Checkout) -> None:
    checkout.program("bin/cargo", "exit 0")
    checkout.builds(fails=True)
    code, words = checkout.set_up()
    assert code == 1
    assert "could not be built (.venv/kernel-build.log says why): going on without it" in words
    assert checkout.set_up() == (0, "")
    assert checkout.calls() == 1


def test_it_is_not_built_for_those_who_turned_it_off(checkout: Checkout) -> None:
    checkout.program("bin/cargo", "exit 0")
    assert checkout.set_up(GRANGE_KERNEL="off") == (0, "")
    assert checkout.calls() == 0


@pytest.mark.parametrize("file", ["demo", "test", "bench", "kernel"])
def test_the_scripts_that_hash_much_build_it(file: str) -> None:
    assert "\nsetup_kernel" in (REPOSITORY / "scripts" / file).read_text()
