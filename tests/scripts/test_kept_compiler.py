"""The compiler that stays answers like one that was started for the request; one that ended is replaced."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lib.kept_compiler import REQUESTS_BEFORE_A_NEW_ONE, KeptCompiler
from lib.tree import ROOT, Tree, environment_with_node

EMPTY = "// SPDX-License-Identifier: Apache-2.0\npragma solidity 0.8.37;\ncontract Empty {}\n"
CODE = {"*": {"*": ["evm.bytecode.object"]}}


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    (tmp_path / "Empty.sol").write_text(EMPTY)
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    return Tree(tmp_path)


def kept(tmp_path: Path, program: str) -> KeptCompiler:
    """One that runs this instead of the compiler."""
    (tmp_path / "program.mjs").write_text(program)
    return KeptCompiler(tmp_path / "program.mjs", tmp_path, environment_with_node())


def test_one_that_stays_gives_what_a_new_one_gives(tree: Tree) -> None:
    once = tree.compile(["Empty.sol"], select=CODE)
    with tree.keeping_compiler():
        answers = [tree.compile(["Empty.sol"], select=CODE) for _ in range(2)]
    assert answers == [once, once]
    assert code_of(once).startswith("60")


def test_it_reads_sources_again(tree: Tree) -> None:
    with tree.keeping_compiler():
        before = tree.compile(["Empty.sol"], select=CODE)
        (tree.path / "Empty.sol").write_text(EMPTY.replace("{}", "{ uint256 public one = 1; }"))
        after = tree.compile(["Empty.sol"], select=CODE)
    assert code_of(before) != code_of(after)


def test_one_that_ends_is_an_error_and_the_next_request_has_a_new_one(tmp_path: Path) -> None:
    ends_first = """
        import { existsSync, writeFileSync } from "node:fs";
        import { createInterface } from "node:readline";
        createInterface({ input: process.stdin }).on("line", () => {
          if (!existsSync("ended")) { writeFileSync("ended", ""); process.exit(3); }
          process.stdout.write("{}\\n");
        });
    """
    with kept(tmp_path, ends_first) as compiler:
        with pytest.raises(RuntimeError, match="ended with 3"):
            compiler.ask({})
        assert compiler.ask({}) == {}


def test_it_is_replaced_after_so_many_answers(tmp_path: Path) -> None:
    tells_its_id = """
        import { createInterface } from "node:readline";
        const answer = `{"id": ${process.pid}}\\n`;
        createInterface({ input: process.stdin }).on("line", () => process.stdout.write(answer));
    """
    with kept(tmp_path, tells_its_id) as compiler:
        ids = [compiler.ask({})["id"] for _ in range(REQUESTS_BEFORE_A_NEW_ONE + 1)]
    assert len(set(ids[:-1])) == 1
    assert ids[-1] != ids[0]


def code_of(answer: Mapping[str, Any]) -> str:
    code: str = answer["contracts"]["Empty.sol"]["Empty"]["evm"]["bytecode"]["object"]
    return code
