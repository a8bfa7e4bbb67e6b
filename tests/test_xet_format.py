"""The Xet formats: against bytes that real clients sent, in a round trip, and against everything a hostile one may send."""

import hashlib
import random
import struct
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from itertools import accumulate, pairwise
from typing import BinaryIO

import lz4.frame
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from hub import xet
from hub.errors import BadRequest
from hub.xet import (
    MAX_CHUNK_SIZE,
    MAX_CHUNKS,
    Chunk,
    Scheme,
    Segment,
    ShardFile,
    XetError,
    aggregate,
    chunk_hash,
    file_hash,
    from_hex,
    iter_chunks,
    pack_chunks,
    range_hash,
    read_shard,
    read_xorb,
    reassemble,
    to_hex,
    unpack_chunks,
    xorb_hash,
)
from tests.support.xet_writer import BOOKEND, SHARD_TAG, Push, push_of, write_chunk, write_shard, write_xorb

Opener = Callable[[str], tuple[BinaryIO, Sequence[Chunk]]]

# Sent by hf_xet 1.8.0 for b"hello xet\n" * 30: the xorb and the shard.
HELLO = b"hello xet\n" * 30
HELLO_XORB_HASH = "d46085ea3e5508037782d39e9b55c32bbe3dd96cfb9933ef08268ad57108abf7"
HELLO_FILE_HASH = "9bf764999c8e9f5ded0e39ddf52a497cc135ee2cdb3adbec0c46b951811fcd53"
HELLO_XORB = bytes.fromhex("00250000012c010004224d1860408216000000af68656c6c6f207865740a0a00ff0a606f207865740a00000000")
HELLO_SHARD = bytes.fromhex(
    "48465265706f4d6574614461746100556967456a7b815783a5bdd95ccdd14aa902000000000000000000000000000000"
    "5d9f8e9c9964f79b7c492af5dd390eedecdb3adb2cee35c153cd1f8151b9460c000000c0010000000000000000000000"
    "0308553eea8560d42bc3559b9ed38277ef3399fb6cd93dbef7ab0871d58a2608000000002c0100000000000001000000"
    "639a162787018fc13cec2400c1d55f64b05d9aa949848fbfa45c27cae06253e500000000000000000000000000000000"
    "ae0da19a216fd22dbe8cad4b91ffa107f65100f984c5db6241843a401f3b56af00000000000000000000000000000000"
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff00000000000000000000000000000000"
    "0308553eea8560d42bc3559b9ed38277ef3399fb6cd93dbef7ab0871d58a260800000000010000002c01000000000000"
    "0308553eea8560d42bc3559b9ed38277ef3399fb6cd93dbef7ab0871d58a2608000000002c0100000000000000000000"
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff00000000000000000000000000000000"
)
# What hf_xet 1.0.3 sends after the same xorb.
HELLO_FOOTER = bytes.fromhex(
    "584554424c4f42010308553eea8560d42bc3559b9ed38277ef3399fb6cd93dbef7ab0871d58a260858424c4248534800010000000308553eea8560d4"
    "2bc3559b9ed38277ef3399fb6cd93dbef7ab0871d58a260858424c42424e4401010000002d0000002c010000010000005c0000003000000000000000"
    "00000000000000000000000084000000"
)
# Sent by hf_xet 1.8.0 for 500 little-endian u32 0, 3, 6, ... and b"ab": byte grouping of a length that four does not divide.
GROUPED = struct.pack("<500I", *range(0, 1500, 3)) + b"ab"
GROUPED_XORB_HASH = "ab60af7fee41ae98e0927f57003b2ac3fb6e109feadffd644877f3fa540d635c"
GROUPED_XORB = bytes.fromhex(
    "0046010002d2070004224d1860408237010000fff1000306090c0f1215181b1e2124272a2d303336393c3f4245484b4e5154575a5d606366696c6f72"
    "75787b7e8184878a8d909396999c9fa2a5a8abaeb1b4b7babdc0c3c6c9cccfd2d5d8dbdee1e4e7eaedf0f3f6f9fcff0205080b0e1114171a1d202326"
    "292c2f3235383b3e4144474a4d505356595c5f6265686b6e7174777a7d808386898c8f9295989b9ea1a4a7aaadb0b3b6b9bcbfc2c5c8cbced1d4d7da"
    "dde0e3e6e9eceff2f5f8fbfe0104070a0d101316191c1f2225282b2e3134373a3d404346494c4f5255585b5e6164676a6d707376797c7f8285888b8e"
    "9194979a9da0a3a6a9acafb2b5b8bbbec1c4c7cacdd0d3d6d9dcdfe2e5e8ebeef1f4f7fafd0001e12f61000100421f010100411f020100411f030100"
    "421f040100411f050100351f62f401420f0200ffffff7d6000000000000000000000"
)
# How hf_xet 1.8.0 cut, named and proved 6 MB of SHAKE-256: a tree of four levels.
BIG = hashlib.shake_256(b"adapter").digest(6_000_000)
BIG_SIZES = [
    *(29660, 49212, 18767, 46189, 34673, 34453, 85605, 27195, 63790, 28666, 43333, 33907, 53381, 76315, 31122, 63092, 44273),
    *(131072, 131072, 85703, 20978, 45030, 53117, 17259, 26952, 57754, 14807, 51347, 131072, 32047, 57033, 8988, 94167, 37182),
    *(32703, 83020, 76536, 83084, 23833, 102066, 70515, 31591, 127992, 11826, 131072, 61664, 55014, 65861, 131072, 16740, 21439),
    *(44183, 22575, 67006, 35309, 10218, 13420, 29520, 33307, 24245, 96725, 131072, 86220, 112967, 23377, 55202, 64944, 17927),
    *(29546, 69109, 35215, 98871, 16520, 26819, 23209, 28833, 88696, 59551, 38026, 32075, 28055, 87842, 33526, 12592, 40191),
    *(131072, 63399, 20797, 51685, 23603, 131072, 131072, 32239, 29545, 131072, 131072, 27297, 27996, 36978, 78225, 48081, 31324),
    *(12193, 10366, 8619, 18725, 16991, 26995, 131072, 53611, 39067, 32688, 21010),
]
BIG_XORB_HASH = "cf35a2c8654915ae3bd065e4c44423caa7413173f6628d4e186f1e0a33ef9b5a"
BIG_FILE_HASH = "ae10281755af7f571b0c9f4bf1584627f7fe2623e942c1f4696947285ffa596b"
BIG_RANGE_HASH = "68825ea2027ddbcadd0fb3944b4e6d696dbf3fb327ad515dfff533131b899eab"

WEIGHTS = struct.pack("<100000f", *(((i * 7919) % 10007) / 10007 - 0.5 for i in range(100_000)))


def opener(xorbs: Mapping[str, bytes]) -> Opener:
    """Opens xorbs held in memory."""
    return lambda name: (BytesIO(xorbs[name]), read_xorb(BytesIO(xorbs[name])).chunks)


def restored(push: Push, file: ShardFile | None = None) -> bytes:
    return b"".join(reassemble(file or push.file, opener(push.xorbs)))


# Real clients


def test_xorb_of_a_real_client() -> None:
    xorb = read_xorb(BytesIO(HELLO_XORB))
    assert (xorb.hash, xorb.size) == (HELLO_XORB_HASH, len(HELLO_XORB))
    assert xorb.chunks == (Chunk(from_hex(HELLO_XORB_HASH), 300, 0),)
    assert list(iter_chunks(BytesIO(HELLO_XORB), xorb.chunks)) == [HELLO]


def test_footer_of_an_old_client_is_not_part_of_the_xorb() -> None:
    assert read_xorb(BytesIO(HELLO_XORB + HELLO_FOOTER)) == read_xorb(BytesIO(HELLO_XORB))


def test_grouped_xorb_of_a_real_client() -> None:
    xorb = read_xorb(BytesIO(GROUPED_XORB))
    assert xorb.hash == GROUPED_XORB_HASH
    assert list(iter_chunks(BytesIO(GROUPED_XORB), xorb.chunks)) == [GROUPED]


def test_shard_of_a_real_client() -> None:
    [file] = read_shard(HELLO_SHARD).files
    assert (file.hash, file.size, file.sha256) == (HELLO_FILE_HASH, 300, hashlib.sha256(HELLO).hexdigest())
    assert file.segments == (Segment(HELLO_XORB_HASH, 300, 0, 1),)
    assert b"".join(reassemble(file, opener({HELLO_XORB_HASH: HELLO_XORB}))) == HELLO


def test_hashes_of_a_real_client() -> None:
    cuts = pairwise(accumulate(BIG_SIZES, initial=0))
    chunks = [Chunk(chunk_hash(BIG[start:end]), end - start, 0) for start, end in cuts]
    assert sum(BIG_SIZES) == len(BIG)
    assert (xorb_hash(chunks), file_hash(chunks), range_hash(chunks).hex()) == (BIG_XORB_HASH, BIG_FILE_HASH, BIG_RANGE_HASH)


def test_empty_file_as_a_real_client_declares_it() -> None:
    """The record of its SHA-256 is there and holds zeros."""
    header = SHARD_TAG + struct.pack("<QQ", 2, 0)
    [file] = read_shard(header + struct.pack("<32sIIQ", bytes(32), 0xC0000000, 0, 0) + bytes(48) + BOOKEND + BOOKEND).files
    assert file == ShardFile("0" * 64, (), (), None)
    assert list(reassemble(file, opener({}))) == []


# Hashes


def test_hex_turns_every_group_of_eight_bytes_around() -> None:
    assert to_hex(bytes(range(32))) == "07060504030201000f0e0d0c0b0a090817161514131211101f1e1d1c1b1a1918"


@given(st.binary(min_size=32, max_size=32))
def test_hex_round_trip(digest: bytes) -> None:
    assert from_hex(to_hex(digest)) == digest


@pytest.mark.parametrize("text", ["", "0" * 63, "0" * 65, "g" + "0" * 63, "A" * 64, "0" * 64 + "\n", " " + "0" * 63, "\u0660" * 64])
def test_bad_hex(text: str) -> None:
    with pytest.raises(XetError, match="64 lower-case hex digits"):
        from_hex(text)


def test_hash_of_wrong_length_has_no_hex() -> None:
    with pytest.raises(XetError, match="this one 31"):
        to_hex(bytes(31))


def whole_level_tree(nodes: list[tuple[bytes, int]]) -> bytes:
    """The same tree as the specification describes it: whole levels, groups found by looking ahead."""
    while len(nodes) > 1:
        parents = []
        while nodes:
            cuts = (i + 1 for i in range(2, min(9, len(nodes))) if int.from_bytes(nodes[i][0][24:], "little") % 4 == 0)
            cut = next(cuts, min(9, len(nodes)))
            text = "".join(f"{to_hex(digest)} : {size}\n" for digest, size in nodes[:cut])
            parents.append((blake3(text.encode(), key=xet._NODE_KEY).digest(), sum(size for _, size in nodes[:cut])))
            nodes = nodes[cut:]
        nodes = parents
    return nodes[0][0] if nodes else bytes(32)


@given(st.integers(0, 2000), st.integers())
def test_tree_fed_leaf_by_leaf_is_the_tree_of_whole_levels(count: int, seed: int) -> None:
    source = random.Random(seed)
    nodes = [(source.randbytes(32), source.randrange(1, MAX_CHUNK_SIZE)) for _ in range(count)]
    assert aggregate(iter(nodes)) == whole_level_tree(nodes)


def test_tree_keeps_only_its_open_groups_in_memory() -> None:
    tracemalloc.start()
    aggregate((i.to_bytes(32, "little"), 65536) for i in range(100_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000


# Round trips


@pytest.mark.parametrize("scheme", Scheme)
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 65_535, 65_536, 399_999, 400_000])
def test_push_round_trip(scheme: Scheme, size: int) -> None:
    data = WEIGHTS[:size]
    push = push_of(data, scheme, chunks_per_xorb=3)
    [file] = read_shard(push.shard).files
    assert (file, file.size) == (push.file, size)
    assert restored(push, file) == data


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=300), st.sampled_from(Scheme)), min_size=1, max_size=20))
def test_xorb_round_trip(parts: list[tuple[bytes, Scheme]]) -> None:
    serialized = b"".join(write_chunk(data, scheme) for data, scheme in parts)
    xorb = read_xorb(BytesIO(serialized))
    assert xorb.size == len(serialized)
    assert list(iter_chunks(BytesIO(serialized), xorb.chunks)) == [data for data, _ in parts]


def test_chunks_from_the_middle_of_a_xorb() -> None:
    serialized = write_xorb([b"one", b"two", b"three", b"four"])
    chunks = read_xorb(BytesIO(serialized)).chunks
    assert list(iter_chunks(BytesIO(serialized), chunks[1:3])) == [b"two", b"three"]
    assert list(iter_chunks(BytesIO(serialized), [])) == []


def test_index_round_trip() -> None:
    chunks = read_xorb(BytesIO(write_xorb([b"one", b"two", b"three"]))).chunks
    assert len(pack_chunks(chunks)) == 3 * 40
    assert unpack_chunks(pack_chunks(chunks)) == chunks
    with pytest.raises(XetError, match="index is damaged"):
        unpack_chunks(pack_chunks(chunks)[:-1])


def test_segments_may_repeat_and_skip_chunks_of_one_xorb() -> None:
    serialized = write_xorb([b"a" * 10, b"b" * 20, b"c" * 30])
    xorb = read_xorb(BytesIO(serialized))
    a, b, c = xorb.chunks
    segments = (Segment(xorb.hash, 30, 2, 3), Segment(xorb.hash, 30, 0, 2), Segment(xorb.hash, 30, 2, 3))
    proofs = tuple(range_hash(part) for part in ([c], [a, b], [c]))
    opened: list[BinaryIO] = []

    def source(_: str) -> tuple[BinaryIO, Sequence[Chunk]]:
        opened.append(BytesIO(serialized))
        return opened[-1], xorb.chunks

    file = ShardFile(file_hash([c, a, b, c]), segments, proofs, None)
    assert b"".join(reassemble(file, source)) == b"c" * 30 + b"a" * 10 + b"b" * 20 + b"c" * 30
    assert [stream.closed for stream in opened] == [True], "one xorb in a row is opened once, and closed"


def test_pieces_are_about_a_mebibyte() -> None:
    push = push_of(BIG)
    pieces = list(reassemble(push.file, opener(push.xorbs)))
    assert [len(piece) for piece in pieces[:-1]] == [1024 * 1024] * 5


def test_an_abandoned_file_closes_its_xorb() -> None:
    push = push_of(BIG)
    [serialized] = push.xorbs.values()
    stream = BytesIO(serialized)
    pieces = reassemble(push.file, lambda _: (stream, read_xorb(BytesIO(serialized)).chunks))
    next(pieces)
    assert not stream.closed
    del pieces
    assert stream.closed


def test_a_footer_after_the_shard_is_passed_over() -> None:
    push = push_of(HELLO)
    assert read_shard(write_shard([push.file], footer=bytes(range(200)))).files == (push.file,)


def test_a_shard_of_several_files_some_without_proof_or_sha256() -> None:
    one, two, three = (push_of(data).file for data in (b"one", b"two", b"three"))
    files = (replace(one, verification=()), replace(two, sha256=None), three)
    assert read_shard(write_shard(files)).files == files


# Malformed xorbs

GOOD = write_chunk(b"good" * 100)


@pytest.mark.parametrize(
    ("serialized", "message"),
    [
        pytest.param(b"", "no chunk", id="empty"),
        pytest.param(HELLO_FOOTER, "no chunk", id="footer-only"),
        pytest.param(GOOD + b"\0\0", "inside a chunk header", id="cut-header"),
        pytest.param(GOOD[:-1], "inside a chunk:", id="cut-data"),
        pytest.param(b"\1" + GOOD[1:], "version 1", id="version"),
        pytest.param(write_chunk(b"data", 3), "scheme 3", id="scheme"),
        pytest.param(write_chunk(b"", Scheme.STORED), "bad chunk header", id="empty-chunk"),
        pytest.param(write_chunk(bytes(MAX_CHUNK_SIZE + 1)), "bad chunk header", id="large-chunk"),
        pytest.param(write_chunk(b"data", stored=bytes(2 * MAX_CHUNK_SIZE + 1)), "bad chunk header", id="large-stored"),
        pytest.param(write_chunk(b"data", Scheme.STORED, size=5), "declares 5 bytes and holds 4", id="stored-less"),
        pytest.param(write_chunk(b"data", Scheme.STORED, size=3), "declares 3 bytes and holds 4", id="stored-more"),
        pytest.param(write_chunk(b"data" * 99, size=397), "declares 397 bytes and holds 396", id="less"),
        pytest.param(write_chunk(b"data" * 99, size=395), "395", id="more"),
        pytest.param(write_chunk(b"data", stored=b""), "not exactly one LZ4 frame", id="no-frame"),
        pytest.param(write_chunk(b"data", stored=b"no LZ4 frame"), "no valid LZ4 frame", id="garbage"),
        pytest.param(write_chunk(b"data", stored=lz4.frame.compress(b"data")[:-4]), "not exactly one", id="no-end-mark"),
        pytest.param(write_chunk(b"data", stored=lz4.frame.compress(b"data") + b"x"), "not exactly one", id="trailing"),
        pytest.param(write_chunk(b"datadata", stored=lz4.frame.compress(b"data") * 2), "not exactly one", id="two-frames"),
        pytest.param(write_chunk(b"data", stored=b"\x50\x2a\x4d\x18\x04\0\0\0data"), "declares 4 bytes and holds 0", id="skippable"),
    ],
)
def test_malformed_xorb(serialized: bytes, message: str) -> None:
    with pytest.raises(XetError, match=message):
        read_xorb(BytesIO(serialized))


def test_a_bomb_is_not_unpacked() -> None:
    serialized = write_chunk(bytes(MAX_CHUNK_SIZE), stored=lz4.frame.compress(bytes(50_000_000)))
    tracemalloc.start()
    with pytest.raises(XetError, match="not exactly one LZ4 frame of 131072 bytes"):
        read_xorb(BytesIO(serialized))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1024 * 1024


def test_chunk_count_is_bounded() -> None:
    assert len(read_xorb(BytesIO(write_chunk(b"x", Scheme.STORED) * MAX_CHUNKS)).chunks) == MAX_CHUNKS
    with pytest.raises(XetError, match="at most 8192 chunks"):
        read_xorb(BytesIO(write_chunk(b"x", Scheme.STORED) * (MAX_CHUNKS + 1)))


def test_xorb_size_is_bounded() -> None:
    with pytest.raises(XetError, match="too large"):
        read_xorb(BytesIO(write_chunk(bytes(MAX_CHUNK_SIZE), Scheme.STORED) * 521))


def test_xet_errors_are_answered_as_bad_requests() -> None:
    assert issubclass(XetError, BadRequest)


@given(st.binary(max_size=400))
def test_random_bytes_as_a_xorb(data: bytes) -> None:
    with pytest.raises(XetError):
        read_xorb(BytesIO(data))


@st.composite
def mutations(draw: st.DrawFn, original: bytes) -> bytes:
    """The original with some bytes replaced, a stretch cut out or put in, or its end missing."""
    data = bytearray(original)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.sampled_from([0, 1, 1, 4, 48]))] = draw(st.binary(max_size=8))
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


FUZZED_XORB = b"".join(write_chunk(WEIGHTS[:size], scheme) for size, scheme in zip((50, 70, 90), Scheme, strict=True))


@given(mutations(FUZZED_XORB))
def test_mutated_xorb_is_read_or_refused(data: bytes) -> None:
    try:
        xorb = read_xorb(BytesIO(data))
    except XetError:
        return
    unpacked = list(iter_chunks(BytesIO(data), xorb.chunks))
    assert [chunk_hash(piece) for piece in unpacked] == [chunk.hash for chunk in xorb.chunks]


# Malformed shards

HEADER = HELLO_SHARD[:48]


def file_header(flags: int, count: int) -> bytes:
    return struct.pack("<32sIIQ", b"f" * 32, flags, count, 0)


def segment_record(first: int, last: int) -> bytes:
    return struct.pack("<32s4I", b"x" * 32, 0, 1, first, last)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "inside its header", id="empty"),
        pytest.param(HEADER[:-1], "inside its header", id="cut-header"),
        pytest.param(b"x" + HELLO_SHARD[1:], "no Xet shard", id="tag"),
        pytest.param(HEADER[:32] + struct.pack("<QQ", 3, 0) + BOOKEND * 2, "no Xet shard", id="version"),
        pytest.param(HEADER, "inside a section", id="no-sections"),
        pytest.param(HEADER + BOOKEND, "inside a section", id="no-xorb-section"),
        pytest.param(HELLO_SHARD[:-1], "inside a section", id="cut-bookend"),
        pytest.param(HEADER + file_header(0, 2) + segment_record(0, 1), "inside a section", id="cut-segments"),
        pytest.param(HEADER + file_header(1 << 31, 1) + segment_record(0, 1), "inside a section", id="cut-verification"),
        pytest.param(HEADER + file_header(1 << 30, 0), "inside a section", id="cut-sha256"),
        pytest.param(HEADER + file_header(0, 1) + segment_record(1, 1), "no xorb can hold", id="empty-range"),
        pytest.param(HEADER + file_header(0, 1) + segment_record(2, 1), "no xorb can hold", id="backward-range"),
        pytest.param(HEADER + file_header(0, 1) + segment_record(0, MAX_CHUNKS + 1), "no xorb can hold", id="wide-range"),
        pytest.param(HEADER + file_header(0, 1_000_001), "at most 10000 files and 1000000 segments", id="many-segments"),
        pytest.param(HEADER + file_header(0, 0) * 10_001 + BOOKEND * 2, "at most 10000 files", id="many-files"),
        pytest.param(HEADER + BOOKEND + struct.pack("<32s4I", b"x" * 32, 0, 8193, 0, 0), "8193 chunks", id="xorb-chunks"),
        pytest.param(HEADER + BOOKEND + struct.pack("<32s4I", b"x" * 32, 0, 8192, 0, 0), "inside a section", id="cut-xorb"),
    ],
)
def test_malformed_shard(data: bytes, message: str) -> None:
    with pytest.raises(XetError, match=message):
        read_shard(data)


@given(st.binary(max_size=400), st.booleans())
def test_random_bytes_as_a_shard(data: bytes, with_header: bool) -> None:
    with pytest.raises(XetError):
        read_shard(HEADER + data if with_header else data)


FUZZED = push_of(WEIGHTS[:1000], chunk_size=100, chunks_per_xorb=4)


@given(mutations(FUZZED.shard))
def test_mutated_shard_is_refused_or_describes_the_very_same_file(data: bytes) -> None:
    try:
        for file in read_shard(data).files:
            content = b"".join(reassemble(file, opener(FUZZED.xorbs)))
            assert (file.hash, content) in [(FUZZED.file.hash, WEIGHTS[:1000]), ("0" * 64, b"")]
    except (XetError, KeyError):  # KeyError: the opener of this test knows no such xorb
        return


# Files that are not what the shard says


def changed(push: Push, index: int, **fields: int) -> ShardFile:
    segments = list(push.file.segments)
    segments[index] = replace(segments[index], **fields)  # type: ignore[arg-type]
    return replace(push.file, segments=tuple(segments))


def test_range_beyond_the_xorb() -> None:
    with pytest.raises(XetError, match=r"chunks 0 to 5 of xorb [0-9a-f]{64}, which has only 4"):
        restored(FUZZED, changed(FUZZED, 1, last=5))


def test_unpacked_length_that_is_not_true() -> None:
    with pytest.raises(XetError, match="takes 399 bytes for chunks 0 to 4"):
        restored(FUZZED, changed(FUZZED, 0, size=399))


def test_bad_verification_hash() -> None:
    file = replace(FUZZED.file, verification=(FUZZED.file.verification[0], bytes(32), FUZZED.file.verification[2]))
    with pytest.raises(XetError, match="verification hash that does not match"):
        restored(FUZZED, file)


def test_nothing_of_a_segment_is_given_out_before_it_is_verified() -> None:
    file = replace(FUZZED.file, verification=(bytes(32), *FUZZED.file.verification[1:]))
    with pytest.raises(XetError, match="verification hash"):
        next(reassemble(file, opener(FUZZED.xorbs)))


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(replace(FUZZED.file, hash="1" * 64), id="other-hash"),
        pytest.param(replace(FUZZED.file, segments=FUZZED.file.segments[:2]), id="segment-missing"),
        pytest.param(replace(FUZZED.file, segments=FUZZED.file.segments[::-1], verification=()), id="other-order"),
        pytest.param(replace(FUZZED.file, segments=(), verification=()), id="no-segments"),
    ],
)
def test_bad_file_hash(file: ShardFile) -> None:
    with pytest.raises(XetError, match="do not add up to its hash"):
        restored(FUZZED, file)


@pytest.mark.parametrize("scheme", Scheme)
def test_damaged_store_is_noticed(scheme: Scheme) -> None:
    push = push_of(WEIGHTS[:1000], scheme)
    [(name, serialized)] = push.xorbs.items()
    chunks = read_xorb(BytesIO(serialized)).chunks
    middle = len(serialized) // 2
    damaged = serialized[:middle] + bytes([serialized[middle] ^ 1]) + serialized[middle + 1 :]
    for stored in (damaged, serialized[:middle], b"", HELLO_FOOTER):
        with pytest.raises(XetError):
            b"".join(reassemble(push.file, lambda _, stored=stored: (BytesIO(stored), chunks)))  # type: ignore[misc]
    assert name == push.file.segments[0].xorb
