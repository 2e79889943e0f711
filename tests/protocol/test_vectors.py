"""The golden vectors are what the protocol gives, and say what an independent reader makes of them.

Solidity reads the same files; `scripts/vectors` writes them.
"""

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_utils.crypto import keccak

from grange import merkle, mountain

ROOT = Path(__file__).resolve().parent.parent.parent


def vectors(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ROOT / "tests" / "vectors" / f"{name}.json").read_text())
    return loaded


def raw(values: list[str]) -> list[bytes]:
    return [bytes.fromhex(value.removeprefix("0x")) for value in values]


def cut(values: list[bytes], lengths: list[int]) -> list[list[bytes]]:
    rest = iter(values)
    rows = [[next(rest) for _ in range(length)] for length in lengths]
    assert next(rest, None) is None
    return rows


def test_the_vectors_are_not_stale() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "vectors"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_path_in_merkle_json_verifies() -> None:
    data = vectors("merkle")
    paths = cut(raw(data["pathNodes"]), data["pathLengths"])
    rows = zip(raw(data["pathRoots"]), data["pathIndexes"], data["pathCounts"], paths, strict=True)
    for root, index, count, path in rows:
        leaf = index.to_bytes(32) * (data["leafBytes"] // 32)
        assert merkle.verify(root, sha256(leaf).digest(), index, count, path)


def test_every_path_in_mountain_json_verifies() -> None:
    data = vectors("mountain")
    hashes, count = raw(data["entryHashes"]), len(data["entryHashes"])
    peaks = cut(raw(data["peaks"]), data["peakCounts"])[-1]
    paths = cut(raw(data["pathNodes"]), data["pathLengths"])
    for index, (entry, path) in enumerate(zip(hashes, paths, strict=True)):
        assert mountain.verify(peaks, entry, index, count, path)
        assert mountain.peak_of(index, count) == (data["peakPositions"][index], len(path))


@pytest.mark.parametrize("kind", ["acceptances", "vouchers", "requests"])
def test_every_signature_in_messages_json_is_its_signers(kind: str) -> None:
    """By eth_account, which knows nothing of ours."""
    data = vectors("messages")
    group = data[kind]
    if kind != "requests":
        signers = group.get("operators", [data["renter"]] * len(group["digests"]))
        parts = zip(raw(group["r"]), raw(group["vs"]), strict=True)
        signatures = [r + bytes([vs[0] & 0x7F]) + vs[1:] + bytes([27 + (vs[0] >> 7)]) for r, vs in parts]
    else:
        signers = [data["renter"]] * len(group["digests"])
        signatures = raw(group["signatures"])
    for digest, signature, signer in zip(raw(group["digests"]), signatures, signers, strict=True):
        assert Account._recover_hash(digest, signature=signature) == signer


def test_audit_json_covers_what_it_is_for() -> None:
    """Every book is drawn from, most leaf counts are no power of two, and the words add up."""
    data = vectors("audit")
    assert set(data["drawn"]["bookEnds"]) == set(data["books"]["ends"])
    assert sum(count.bit_count() > 1 for count in data["placed"]["leafCounts"]) > 4
    assert sum(data["drawn"]["wordCounts"]) == len(data["words"])
    assert sum(data["books"]["ratesAtStart"]) == data["total"]
    assert sum(data["books"]["ratesAsked"]) == data["pay"] < data["total"]
    assert any(data["drawn"]["lost"])
    assert any(data["drawn"]["extensions"])
    assert data["drawn"]["lost"].count(False) == data["samples"]
    assert keccak(b"seed") == raw([data["seed"]])[0]
