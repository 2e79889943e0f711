"""The kernel: which one is used, that it gives what plain Python gives, and that nobody passes it by."""

import ast
import inspect
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

import grange
import grange_client
import grange_node
from grange import erasure, kernel, merkle
from grange.errors import Misuse, UnknownCodec
from grange.units import HASH_BYTES, LEAF_BYTES, MAX_SLOTS

pieces = st.binary(min_size=1, max_size=40).map(lambda one: one * LEAF_BYTES)
"""Of one to forty leaves."""


@pytest.fixture(scope="module")
def compiled() -> ModuleType:
    """The functions of `grange.merkle`, by the kernel."""
    pytest.importorskip("grange_kernel", reason="the kernel is not built (scripts/kernel)")
    from grange import merkle_compiled

    return merkle_compiled


def importing(result: ModuleType | ImportError) -> Callable[[str], ModuleType]:
    def import_kernel(name: str) -> ModuleType:
        assert name == "grange_kernel"
        if isinstance(result, ImportError):
            raise result
        return result

    return import_kernel


def a_kernel(interface: int | None = kernel.INTERFACE) -> ModuleType:
    module = ModuleType("grange_kernel")
    if interface is not None:
        module.__dict__["INTERFACE"] = interface
    return module


def test_a_kernel_of_the_known_interface_is_used() -> None:
    assert kernel.reason_against({}, importing(a_kernel())) is None
    assert kernel.reason_against({"GRANGE_KERNEL": "on"}, importing(a_kernel())) is None


def test_a_program_without_it_starts_also_where_the_kernel_is_built() -> None:
    """It is chosen while modules are loaded, so only a process of its own shows what others see."""
    program = "from grange import kernel; import grange_client.drive.chunker; print(kernel.find_border)"
    environment = os.environ | {"GRANGE_KERNEL": "off"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "None\n", "")


@pytest.mark.parametrize("word", ["off", "OFF", "no", "false", "0"])
def test_the_environment_can_say_no(word: str) -> None:
    reason = kernel.reason_against({"GRANGE_KERNEL": word}, importing(a_kernel()))
    assert reason == f"GRANGE_KERNEL is {word}"


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (ModuleNotFoundError("No module named 'grange_kernel'"), "not installed"),
        (ImportError("libc.so.6: version not found"), "does not load: libc.so.6"),
        (a_kernel(kernel.INTERFACE + 1), "another version"),
        (a_kernel(None), "another version"),
    ],
)
def test_without_a_kernel_that_fits_there_is_a_reason(found: ModuleType | ImportError, reason: str) -> None:
    assert reason in (kernel.reason_against({}, importing(found)) or "")


def test_what_is_offered_comes_from_one_place_and_the_description_says_which() -> None:
    modules = {getattr(kernel, name).__module__ for name in kernel.__all__}
    if kernel.REASON_AGAINST:
        assert modules == {"grange.merkle", "grange.erasure"}
        assert kernel.describe() == f"plain Python ({kernel.REASON_AGAINST})"
    else:
        codes_fast = import_module("grange_kernel").CODES_FAST
        assert modules == {
            "grange.merkle_compiled",
            "grange.erasure_compiled" if codes_fast else "grange.erasure",
        }
        assert kernel.describe().startswith("kernel ")


def test_plain_and_compiled_have_the_same_signatures(compiled: ModuleType) -> None:
    for name in {*kernel.__all__} - {"Codec"}:
        plain_one, compiled_one = getattr(merkle, name), getattr(compiled, name)
        assert inspect.signature(plain_one) == inspect.signature(compiled_one), name
        if inspect.isclass(plain_one):
            public = {key for key in vars(plain_one) if not key.startswith("_") or key == "__len__"}
            assert public == {
                key for key in vars(compiled_one) if not key.startswith("_") or key == "__len__"
            }


def public_names(one: type) -> set[str]:
    return {key for key in vars(one) if not key.startswith("_") or key == "__len__"}


@given(pieces)
def test_a_piece_of_any_size_has_the_same_hashes_and_root(compiled: ModuleType, data: bytes) -> None:
    assert compiled.leaf_hashes(data) == merkle.leaf_hashes(data)
    assert compiled.merkle_root(data) == merkle.merkle_root(data)


@given(st.lists(pieces, max_size=6))
def test_many_pieces_at_once_have_the_roots_that_each_has_alone(
    compiled: ModuleType, several: list[bytes]
) -> None:
    roots = [merkle.merkle_root(piece) for piece in several]
    assert merkle.merkle_roots(several) == roots
    assert compiled.merkle_roots(several) == roots
    assert compiled.merkle_roots(tuple(memoryview(piece) for piece in several)) == roots


@given(st.integers(1, 300), st.randoms(use_true_random=False))
def test_a_tree_of_any_size_has_the_same_root_and_paths(
    compiled: ModuleType, count: int, random: object
) -> None:
    hashes = b"".join(merkle.leaf_hashes(number.to_bytes(LEAF_BYTES)) for number in range(count))
    plain_tree, compiled_tree = merkle.Tree(hashes), compiled.Tree(hashes)
    assert len(compiled_tree) == len(plain_tree) == count
    assert compiled.root_of_hashes(hashes) == merkle.root_of_hashes(hashes)
    for index in {0, count // 2, count - 1}:
        assert compiled_tree.leaf(index) == plain_tree.leaf(index)
        assert compiled_tree.path(index) == plain_tree.path(index)


def test_pieces_of_full_size_are_hashed_without_the_lock(compiled: ModuleType) -> None:
    """With the switch of threads put off for ever, another thread runs only while one lets go of the lock."""
    pieces = [bytes(range(256)) * 4096] * 16
    ran, ended = threading.Event(), threading.Event()

    def run() -> None:
        while not ended.is_set():
            ran.set()
            time.sleep(0)  # lets go of the lock, and asks for it again

    interval = sys.getswitchinterval()
    thread = threading.Thread(target=run)
    thread.start()
    ran.wait()
    try:
        sys.setswitchinterval(1000)
        tries = 0
        ran.clear()
        while not ran.is_set() and tries < 100:
            compiled.merkle_roots(pieces)
            tries += 1
        assert ran.is_set()
    finally:
        sys.setswitchinterval(interval)
        ended.set()
        thread.join()


@pytest.mark.parametrize("wrong", [0, 1, LEAF_BYTES - 1, LEAF_BYTES + 1])
def test_one_piece_with_a_part_of_a_leaf_spoils_the_batch(compiled: ModuleType, wrong: int) -> None:
    for hashing in (merkle, compiled):
        with pytest.raises(Misuse, match="whole number of leaves"):
            hashing.merkle_roots([bytes(LEAF_BYTES), bytes(wrong)])


@given(st.data())
def test_pieces_of_any_shape_and_length_are_coded_as_by_pyeclib(
    compiled: ModuleType, data: st.DataObject
) -> None:
    from grange import erasure_compiled

    n = data.draw(st.integers(2, MAX_SLOTS))
    k = data.draw(st.integers(1, n))
    random = data.draw(st.randoms(use_true_random=False))
    length = data.draw(st.integers(1, 300))
    blocks = [random.randbytes(length) for _ in range(k)]
    plain_codec, compiled_codec = erasure.Codec(k, n), erasure_compiled.Codec(k, n)
    parity = plain_codec.parity(blocks)
    assert compiled_codec.parity(blocks) == parity
    pieces = dict(enumerate([*blocks, *parity]))
    have = {index: pieces.pop(index) for index in random.sample(range(n), k)}
    assert compiled_codec.blocks(have) == plain_codec.blocks(have) == blocks
    assert compiled_codec.rebuild(have, list(pieces)) == pieces


def test_a_kernel_that_computes_another_code_is_refused(
    compiled: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    from grange import erasure_compiled

    made = compiled.grange_kernel.code

    def wrong(*arguments: object) -> list[bytes]:
        first, *rest = made(*arguments)
        return [bytes([first[0] ^ 1]) + first[1:], *rest]

    monkeypatch.setattr(compiled.grange_kernel, "code", wrong)
    with pytest.raises(UnknownCodec):
        erasure_compiled.Codec(4, 8)


def test_the_kernel_itself_checks_sizes_and_bytes_in_a_row(compiled: ModuleType) -> None:
    """It is `unsafe` inside: what gets past the Python around it must be an error, never a wild read."""
    raw = compiled.grange_kernel
    for call in (
        lambda: raw.merkle_root(bytes(100), LEAF_BYTES),
        lambda: raw.merkle_root(b"", LEAF_BYTES),
        lambda: raw.leaf_hashes(bytes(LEAF_BYTES), 0),
        lambda: raw.leaf_hashes(bytes(LEAF_BYTES), 32),
        lambda: raw.merkle_roots([bytes(LEAF_BYTES), bytes(1)], LEAF_BYTES),
        lambda: raw.root_of_hashes(bytes(HASH_BYTES + 1)),
        lambda: raw.Tree(b""),
        lambda: raw.PieceHasher(100),
        lambda: raw.code([], [], [1]),
        lambda: raw.code([0, 0], [b"a", b"b"], [2]),
        lambda: raw.code([0, 1, 2], [b"a", b"b"], [3]),
        lambda: raw.code([0, 256], [b"a", b"b"], [2]),
        lambda: raw.code([0, 1], [b"a", b"b"], [256]),
        lambda: raw.code([0, 1], [b"a", b"bc"], [2]),
        lambda: raw.code([0, 1], [b"", b""], [2]),
    ):
        with pytest.raises(ValueError, match=r"bytes|numbers"):
            call()
    with pytest.raises(BufferError):
        raw.merkle_root(memoryview(bytes(2 * LEAF_BYTES))[::2], LEAF_BYTES)
    for index in (2, 1 << 63):
        with pytest.raises(IndexError):
            raw.Tree(bytes(2 * HASH_BYTES)).path(index)
    with pytest.raises(TypeError):
        raw.merkle_root("text", LEAF_BYTES)


def test_nobody_works_on_whole_pieces_past_the_kernel() -> None:
    """What `grange.kernel` offers is imported from there, but for the modules that make it."""
    own = {"merkle.py", "merkle_compiled.py", "erasure.py", "erasure_compiled.py", "kernel.py"}
    past = []
    for package in (grange, grange_node, grange_client):
        folder = Path(package.__file__).parent
        for file in folder.rglob("*.py"):
            if file.parent == Path(grange.__file__).parent and file.name in own:
                continue
            past += [
                f"{file.name}: {name}" for name in taken_from_plain_modules(file) if name in kernel.__all__
            ]
    assert not past


def taken_from_plain_modules(file: Path) -> list[str]:
    """What a file takes from `grange.merkle` and `grange.erasure`."""
    names: list[str] = []
    text = file.read_text("utf-8")
    if "merkle" not in text and "erasure" not in text:
        return names
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module in ("grange.merkle", "grange.erasure"):
            names += [alias.name for alias in node.names]
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in ("merkle", "erasure")
        ):
            names.append(node.attr)
    return names
