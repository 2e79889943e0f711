"""Chunks: what is sealed comes back, and only under its own key, as its own type, in its own scope."""

import os
import random
from contextlib import suppress

import pytest
from client.drive.drive_samples import RECOVERY, drive_keys
from hypothesis import given
from hypothesis import strategies as st

from grange.seal import RecoverySecret
from grange_client.drive import stored_form
from grange_client.drive.chunk import (
    MAX_CONTENT_BYTES,
    MAX_SEALED_BYTES,
    ChunkKey,
    ChunkType,
    id_of,
    open_chunk,
)
from grange_client.drive.keys import DriveSecret
from grange_client.drive.sealing import NONCE_BYTES, SEAL_BYTES, open_sealed, seal
from grange_client.drive.stored_form import PLAIN, ZSTD, compress, content_of, smallest_form
from grange_client.errors import BadChunk, NotReadable

KEYS = drive_keys()
contents = st.binary(max_size=300) | st.builds(
    lambda part, count: part * count, st.binary(), st.integers(0, 99)
)
types = st.sampled_from(ChunkType)


@given(types, contents)
def test_a_chunk_opens_to_what_was_sealed(chunk_type: ChunkType, content: bytes) -> None:
    chunk = KEYS.own.seal(chunk_type, content)
    assert KEYS.own.open(chunk_type, chunk.key, chunk.sealed) == content
    assert open_chunk(chunk_type, chunk.key, KEYS.own.scope_id, chunk.sealed) == content
    assert len(chunk.sealed) <= len(content) + 1 + SEAL_BYTES


@given(types, contents)
def test_equal_content_is_the_same_chunk_bit_for_bit(chunk_type: ChunkType, content: bytes) -> None:
    """A resumed upload sends again only what the farmers have not."""
    again = drive_keys().own.seal(chunk_type, bytearray(content))
    assert again == KEYS.own.seal(chunk_type, content)


@given(types, contents, st.data())
def test_any_flipped_bit_is_noticed(chunk_type: ChunkType, content: bytes, data: st.DataObject) -> None:
    chunk = KEYS.own.seal(chunk_type, content)
    bit = data.draw(st.integers(0, len(chunk.sealed) * 8 - 1))
    damaged = bytearray(chunk.sealed)
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BadChunk):
        KEYS.own.open(chunk_type, chunk.key, damaged)


@given(st.binary(max_size=200))
def test_noise_is_never_a_chunk(noise: bytes) -> None:
    with pytest.raises(BadChunk):
        open_chunk(ChunkType.DATA, ChunkKey(bytes(32)), bytes(16), noise)


@given(types, types, st.binary(max_size=50))
def test_a_chunk_of_one_type_never_opens_as_another(one: ChunkType, other: ChunkType, content: bytes) -> None:
    """A file whose bytes are those of a tree or a commit has another key, and does not open as one."""
    if one is other:
        return
    chunk = KEYS.own.seal(one, content)
    assert chunk.key != KEYS.own.key_of(other, content)
    with pytest.raises(BadChunk):
        KEYS.own.open(other, chunk.key, chunk.sealed)
    # Not even for who decides itself under which key it is sealed.
    forged = KEYS.own.seal(one, content, key=KEYS.own.key_of(other, content))
    with pytest.raises(BadChunk):
        KEYS.own.open(other, forged.key, forged.sealed)


def test_drives_have_nothing_in_common() -> None:
    """Not the keys, not the ids, not the borders; and one's chunks are not opened as another's."""
    first, second = drive_keys(0), drive_keys(1)
    chunk, other = first.own.seal(ChunkType.DATA, b"same"), second.own.seal(ChunkType.DATA, b"same")
    assert chunk.id != other.id
    assert chunk.sealed != other.sealed
    assert first.border_secret != second.border_secret
    with pytest.raises(BadChunk):
        second.own.open(ChunkType.DATA, chunk.key, chunk.sealed)


def test_drives_that_share_have_data_chunks_in_common_and_nothing_else() -> None:
    first, second = drive_keys(0, share=True), drive_keys(1, share=True)
    assert first.data.seal(ChunkType.DATA, b"same") == second.data.seal(ChunkType.DATA, b"same")
    assert first.own.key_of(ChunkType.TREE, b"same") != second.own.key_of(ChunkType.TREE, b"same")
    content = random.Random(1).randbytes(6 << 20)
    assert list(first.chunker.split([content])) == list(second.chunker.split([content]))
    # Who does not share has none of it.
    assert drive_keys(0).data.key_of(ChunkType.DATA, b"same") != first.data.key_of(ChunkType.DATA, b"same")


def test_two_phrases_have_nothing_in_common() -> None:
    """Nobody learns whether somebody else keeps the same file."""
    other = drive_keys(recovery=RecoverySecret(secret=bytes(32)), share=True)
    ours = drive_keys(share=True)
    assert other.data.seal(ChunkType.DATA, b"film").id != ours.data.seal(ChunkType.DATA, b"film").id
    assert other.data.scope_id != ours.data.scope_id


def test_what_a_device_has_leads_to_nothing_above_it() -> None:
    """The secret of a drive is all that is in it, and secrets are in no text of it."""
    secret = DriveSecret.from_phrase(RECOVERY, 3, share=True)
    assert secret.secret.hex() not in repr(secret)
    assert RECOVERY.secret not in (secret.secret, secret.shared)
    assert repr(secret) == "DriveSecret(number=3)"


def test_another_content_under_a_known_key_is_noticed_by_who_has_the_secret() -> None:
    """Somebody was given one chunk to read, and seals another content under its key for a farmer to serve."""
    chunk = KEYS.own.seal(ChunkType.DATA, b"what was shared")
    forged = KEYS.own.seal(ChunkType.DATA, b"something else", key=chunk.key)
    assert open_chunk(ChunkType.DATA, chunk.key, KEYS.own.scope_id, forged.sealed) == b"something else"
    with pytest.raises(BadChunk, match="not what its key was made of"):
        KEYS.own.open(ChunkType.DATA, chunk.key, forged.sealed)


@given(contents, st.integers(1, 22))
def test_another_release_of_the_compressor_uses_another_nonce(content: bytes, level: int) -> None:
    """Two stored forms of the same content never stand under the same key and nonce."""
    key = KEYS.own.key_of(ChunkType.DATA, content)
    forms = [smallest_form(content), bytes([ZSTD]) + stored_form._zstd.compress(content, level)]
    sealed = [seal(key, form, b"") for form in forms]
    assert (forms[0] == forms[1]) == (sealed[0][:NONCE_BYTES] == sealed[1][:NONCE_BYTES])
    assert [open_sealed(key, one, b"") for one in sealed] == forms


@given(st.lists(contents, max_size=5))
def test_a_frame_does_not_depend_on_what_was_compressed_before(row: list[bytes]) -> None:
    """Also not on what could not be: else what was sent before a process was killed is other bytes now."""
    for content in row:
        with pytest.raises(TypeError):
            compress("text")  # type: ignore[arg-type]
        assert compress(content) == stored_form._zstd.compress(content, stored_form.LEVEL)


def test_what_gets_smaller_is_compressed_and_what_does_not_is_left() -> None:
    assert smallest_form(b"a line of text\n" * 1000)[0] == ZSTD
    assert smallest_form(random.Random(2).randbytes(5000))[0] == PLAIN
    assert smallest_form(b"") == bytes([PLAIN])


@pytest.mark.parametrize(
    "broken",
    [
        lambda content: compress(bytes(content)[:-1] + b"?"),
        lambda content: b"\x28\xb5\x2f\xfd",
        lambda content: b"",
        lambda content: compress(content) + b"x",
    ],
    ids=["other content", "cut off", "nothing", "something behind it"],
)
def test_a_compressor_that_writes_what_it_cannot_read_does_no_harm(broken: stored_form.Compress) -> None:
    """The chunk is stored as it is, and it is said (restic #4523)."""
    content = b"all work and no play " * 999
    chunk = KEYS.own.seal(ChunkType.DATA, content, compress=broken)
    assert chunk.compressor_failed
    assert KEYS.own.open(ChunkType.DATA, chunk.key, chunk.sealed) == content
    assert not KEYS.own.seal(ChunkType.DATA, content).compressor_failed


def test_a_machine_that_cannot_seal_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grange_client.drive.chunk.plain_form", lambda content: b"\x00other")
    with pytest.raises(NotReadable, match="does not open again"):
        KEYS.own.seal(ChunkType.DATA, b"content", compress=lambda content: b"")


@given(st.binary(max_size=200), st.sampled_from([PLAIN, ZSTD, 2, 255]))
def test_any_stored_form_gives_its_content_or_bad_chunk(noise: bytes, form: int) -> None:
    for stored in (noise, bytes([form]) + noise, bytes([ZSTD]) + compress(noise)[:-1]):
        with suppress(BadChunk):
            assert len(content_of(stored, 100)) <= 100


def test_a_frame_that_unpacks_to_gigabytes_is_refused_before_it_does() -> None:
    """A thousand bytes that would become 1 GiB."""
    part = bytes(1 << 20)
    packer = stored_form._zstd.ZstdCompressor(stored_form.LEVEL)
    frame = b"".join([*(packer.compress(part) for _ in range(1024)), packer.flush()])
    assert len(frame) < 1 << 17
    with pytest.raises(BadChunk, match="more than"):
        content_of(bytes([ZSTD]) + frame, 4 << 20)


def test_a_frame_that_asks_for_a_long_window_is_refused() -> None:
    """It would cost its memory before the first byte comes out."""
    options = {stored_form._zstd.CompressionParameter.window_log: 27}
    packer = stored_form._zstd.ZstdCompressor(options=options)
    frame = packer.compress(b"x" * 100) + packer.flush()
    with pytest.raises(BadChunk, match="cannot be unpacked"):
        content_of(bytes([ZSTD]) + frame, 4 << 20)


def test_the_longest_chunk_has_its_length_and_no_chunk_a_longer_one() -> None:
    content = os.urandom(MAX_CONTENT_BYTES[ChunkType.DATA])
    chunk = KEYS.own.seal(ChunkType.DATA, content)
    assert len(chunk.sealed) == MAX_SEALED_BYTES
    assert KEYS.own.open(ChunkType.DATA, chunk.key, chunk.sealed) == content
    with pytest.raises(ValueError, match="no DATA chunk"):
        KEYS.own.seal(ChunkType.DATA, content + b"x")
    with pytest.raises(BadChunk, match="at most"):
        open_chunk(ChunkType.DATA, chunk.key, KEYS.own.scope_id, chunk.sealed + b"x")


def test_ids_do_not_lead_to_keys() -> None:
    """An id follows from the key, so who has trees needs no table of ids; and not the other way round."""
    chunk = KEYS.own.seal(ChunkType.TREE, b"content")
    assert chunk.id == id_of(chunk.key) != chunk.key
    with pytest.raises(BadChunk):
        open_chunk(ChunkType.TREE, ChunkKey(chunk.id), KEYS.own.scope_id, chunk.sealed)
