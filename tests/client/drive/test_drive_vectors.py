"""The golden vectors of drives, read by the rules of docs/protocol.md alone: HMAC, HKDF and AES-GCM."""

import hmac
import json
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import msgpack
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from grange_client.drive.chunk import ChunkKey, ChunkType
from grange_client.drive.commit import unpack_commit
from grange_client.drive.keys import DriveKeys, DriveSecret
from grange_client.drive.stored_form import content_of

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "drives.json").read_text(encoding="utf-8")
)


def raw(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def hkdf(secret: bytes, salt: bytes, info: bytes, length: int = 32) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(secret)


def mac(key: bytes, content: bytes) -> bytes:
    return hmac.digest(key, content, "sha256")


def test_secrets_follow_from_the_recovery_secret() -> None:
    recovery = raw(VECTORS["recoverySecret"])
    for number, secret, scope, border in zip(
        VECTORS["numbers"], VECTORS["secrets"], VECTORS["scopes"], VECTORS["borderSecrets"], strict=True
    ):
        assert hkdf(recovery, number.to_bytes(4), b"grange/drive/1") == raw(secret)
        assert hkdf(raw(secret), b"", b"grange/scope/1", 16) == raw(scope)
        assert hkdf(raw(secret), b"", b"grange/node-border/1") == raw(border)
    shared = hkdf(recovery, b"", b"grange/shared-chunks/1")
    assert shared == raw(VECTORS["sharedSecret"])
    assert hkdf(shared, b"", b"grange/scope/1", 16) == raw(VECTORS["sharedScope"])


def test_the_keys_of_packs_follow_from_the_drive_and_the_order() -> None:
    order = raw(VECTORS["order"])
    for secret, value in zip(VECTORS["secrets"], VECTORS["checkValues"], strict=True):
        assert mac(raw(secret), b"grange/pack/1/check" + order)[:16] == raw(value)
    first = raw(VECTORS["secrets"][0])
    assert hkdf(first, order, b"grange/pack/1/trailer") == raw(VECTORS["packKey"])


def test_chunks_open_by_their_keys() -> None:
    content = raw(VECTORS["content"])
    rows = zip(VECTORS["types"], VECTORS["keys"], VECTORS["ids"], VECTORS["sealed"], strict=True)
    for number, key, chunk_id, sealed in rows:
        secret = hkdf(raw(VECTORS["secrets"][0]), bytes([number]), b"grange/chunk-secret/1")
        assert mac(secret, content) == raw(key)
        assert mac(raw(key), b"grange/chunk/1/id") == raw(chunk_id)
        nonce, rest = raw(sealed)[:12], raw(sealed)[12:]
        context = b"grange/chunk/1" + bytes([number]) + raw(VECTORS["scopes"][0])
        cipher = AESGCM(mac(raw(key), b"grange/sealing/1/cipher"))
        assert cipher.decrypt(nonce, rest, context) == b"\0" + content
        assert mac(mac(raw(key), b"grange/sealing/1/nonce" + context), b"\0" + content)[:12] == nonce


def test_drives_that_share_open_each_others_data() -> None:
    for number in VECTORS["numbers"]:
        keys = DriveKeys(
            DriveSecret(number=number, secret=raw(VECTORS["secrets"][0]), shared=raw(VECTORS["sharedSecret"]))
        )
        key, sealed = ChunkKey(raw(VECTORS["sharedKey"])), raw(VECTORS["sharedSealed"])
        assert keys.data.open(ChunkType.DATA, key, sealed) == raw(VECTORS["content"])


def test_a_frame_that_was_written_once_is_read() -> None:
    assert content_of(raw(VECTORS["compressed"]), 1000) == raw(VECTORS["uncompressed"]) == b"grange " * 13


def test_files_are_cut_where_they_were() -> None:
    """A border that moved would send everything once more."""
    name, size = VECTORS["streamName"].encode(), VECTORS["streamBytes"]
    stream = b"".join(sha256(name + count.to_bytes(8)).digest() for count in range(size // 32))
    keys = DriveKeys(DriveSecret(number=0, secret=raw(VECTORS["secrets"][0])))
    assert [len(chunk) for chunk in keys.chunker.split([stream])] == VECTORS["chunkBytes"]


def test_trees_are_what_msgpack_reads() -> None:
    inner, outer = (msgpack.unpackb(raw(text), strict_map_key=False) for text in VECTORS["trees"])
    assert inner[:2] == outer[:2] == [1, 0]
    named = {1: 1000, 2: 0, 3: b"ann", 4: b"root", 5: [[b"user.a", b""], [b"user.b", b"\xff"]]}
    [file, link] = inner[2]
    reference = sha256(b"text" + bytes(8)).digest() + (70_000).to_bytes(8)
    assert file[:5] == [b"f\xff\n", 0, 0o4644, 5, 7]
    assert {number: value for number, value in file[5].items() if number < 6} == named
    assert file[6:] == [70_000, 0, reference]
    assert link == [b"l", 2, 0o777, 0, 0, {}, b"../d"]
    [directory, other] = outer[2]
    assert directory == [b"d", 1, 0o755, -1, 10**9 - 1, {}, 2, 70_000, 0, raw(VECTORS["treeKeys"][0])]
    assert other[8] == sha256(b"shared" + bytes(8)).digest() + ((1 << 63) + 1).to_bytes(8)
    secret = hkdf(raw(VECTORS["secrets"][0]), bytes([3]), b"grange/chunk-secret/1")
    assert [mac(secret, raw(text)) for text in VECTORS["trees"]] == [raw(key) for key in VECTORS["treeKeys"]]


def test_a_commit_is_what_msgpack_reads() -> None:
    content = raw(VECTORS["commit"])
    parent, key = sha256(b"parent" + bytes(8)).digest(), raw(VECTORS["treeKeys"][1])
    assert msgpack.unpackb(content) == [1, 1_700_000_000, 0, "laptop", "said", parent, 4, 70_001, 0, key]
    assert unpack_commit(content).root.count == 4


def test_a_pack_is_what_its_end_and_its_journal_say() -> None:
    """Read with AES-GCM, AES-CTR, HKDF and msgpack alone."""
    pack, secret, order = raw(VECTORS["pack"]), raw(VECTORS["secrets"][0]), raw(VECTORS["order"])

    def key(purpose: bytes) -> bytes:
        return hkdf(secret, order, b"grange/pack/1/" + purpose)

    def opened(purpose: bytes, sealed: bytes, context: bytes) -> bytes:
        cipher = AESGCM(mac(key(purpose), b"grange/sealing/1/cipher"))
        return cipher.decrypt(sealed[:12], sealed[12:], context)

    assert pack[-128:-112] == raw(VECTORS["checkValues"][0])
    end = opened(b"end", pack[-112:], b"grange/pack/1/end")
    numbers = [int.from_bytes(end[place : place + 8]) for place in range(8, 40, 8)]
    content, journal, chunks, capacity = numbers
    assert (end[:8], chunks, capacity, len(pack), end[72:]) == (b"GRPACK\0\1", 2, 1024, 1024, bytes(12))
    assert pack[:content] == raw(VECTORS["sealed"][0]) + raw(VECTORS["sealed"][3])
    journal_end = content + journal + 28
    section = opened(b"journal", pack[content:journal_end], b"grange/journal/1" + bytes(8))
    assert sha256(pack[content:journal_end]).digest() == end[40:72]
    filler = (
        Cipher(AES(mac(key(b"filler"), end)), CTR(bytes(16)))
        .encryptor()
        .update(bytes(1024 - 128 - journal_end))
    )
    assert pack[journal_end:-128] == filler

    def named(name: bytes) -> bytes:
        return sha256(name + bytes(8)).digest()

    slot = [7, named(b"root"), 5, (1 << 70).to_bytes(16), 3]
    assert list(msgpack.Unpacker(BytesIO(section))) == [
        [0, 1, 1_700_000_000, "laptop", named(b"checkpoint")],
        [1, named(b"commit")],
        [2, named(b"withdrawn"), 99],
        [3, named(b"pack"), named(b"extended"), 1234, 16, 1, 4096, 2048, [slot, slot]],
        [4, named(b"retired")],
        [5, named(b"dropped")],
        [8, named(b"superseded")],
        [7, "name", b"photos", 1_700_000_001, 0],
        [7, "tag/first", b"", -1, 99],
        [6, 1, raw(VECTORS["ids"][0]), 77],
        [6, 4, raw(VECTORS["ids"][3]), 77],
    ]


def test_long_directories_and_files_are_cut_by_the_rule() -> None:
    """Which rows make a node, worked out again from the marks alone."""
    count, border = VECTORS["largeNames"], raw(VECTORS["borderSecrets"][0])
    marks, nodes, level = [int.from_bytes(mac(border, b"%06d" % n)[:8]) for n in range(count)], 0, -1
    while len(marks) > 1:
        level += 1
        cut = _cut(marks, level)
        nodes, marks = nodes + len(cut), [node[-1] for node in cut]
    assert (nodes, level) == (len(VECTORS["largeChunkBytes"]), VECTORS["largeLevel"])
    keys = [sha256(b"chunk %d" % number + bytes(8)).digest() for number in range(count)]
    lists = _cut([int.from_bytes(key[-8:]) for key in keys], 0)
    assert [len(one) for one in lists] == [(size - 2) // 40 for size in VECTORS["longChunkBytes"]]
    assert VECTORS["longLevel"] == 1


def _cut(marks: list[int], level: int) -> list[list[int]]:
    """The marks of what stands in each node of a level."""
    nodes: list[list[int]] = [[]]
    for mark in marks:
        if len(nodes[-1]) >= 16 and nodes[-1][-1] % (1 << 7 * (level + 1)) == 0:
            nodes.append([])
        nodes[-1].append(mark)
    return nodes
