"""The Xet formats as the write side of a CAS server meets them: xorbs, shards, hashes, and files put together from both.

Pure bytes in, plain values out: no HTTP, no database, no blob store. Formats: the Xet protocol specification 1.1.0
(huggingface.co/docs/xet) and what hf_xet 1.8.0 really sends.

    chunk   8 to 128 KiB of a file, cut by content
    xorb    chunks one after another, each compressed on its own behind an 8-byte header
    shard   which ranges of chunks of which xorbs make up which file

Everything that arrives is untrusted: whatever breaks a format raises `XetError`, memory stays bounded by one chunk.
"""

import re
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import groupby, repeat
from typing import BinaryIO

import lz4.frame
from blake3 import blake3

from hub.errors import BadRequest

MAX_CHUNK_SIZE = 128 * 1024
MAX_CHUNKS = 8192
# The specification says 64 MiB; what is above it leaves room for the chunk headers.
MAX_XORB_SIZE = 65 * 1024 * 1024
MAX_FILES = 10_000
MAX_SEGMENTS = 1_000_000

_DATA_KEY = bytes.fromhex("6697f5775b9550de3135cbaca597181c9de421109beb2b58b4d0b04b93adf229")
_NODE_KEY = bytes.fromhex("017ec5c7a5472996fd946666b48a02e65ddd536f37c76dd2f86352e64a53713f")
_RANGE_KEY = bytes.fromhex("7f1857d6ce56ed66127ff913e7a5c3f3a4cd26d5b5db49e64124987f28fb94c3")
_ZEROS = bytes(32)
_WORDS = struct.Struct("<4Q")
_HEX = re.compile("[0-9a-f]{64}")

_MIN_BRANCH = 3
_MAX_BRANCH = 9

_XORB_FOOTER = b"XETBLOB"
_CHUNK_HEADER_SIZE = 8
_INDEX_ENTRY = struct.Struct("<32s2I")

_SHARD_HEADER = struct.Struct("<32s2Q")
_SHARD_TAG = b"HFRepoMetaData\0" + bytes.fromhex("556967456a7b815783a5bdd95ccdd14aa9")
_SHARD_VERSION = 2
_RECORD = struct.Struct("<32s4I")
_BOOKEND = b"\xff" * 32
_HAS_VERIFICATION = 1 << 31
_HAS_SHA256 = 1 << 30

_BATCH_SIZE = 1024 * 1024


class XetError(BadRequest):
    """A xorb or shard that breaks the format, or that does not hold what it says."""


class Scheme(IntEnum):
    """How a chunk is compressed: not at all, as one LZ4 frame, or grouped by byte position modulo four before that."""

    STORED = 0
    LZ4 = 1
    GROUPED_LZ4 = 2


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk of a xorb: its 32-byte hash, its uncompressed size, and the offset of its header in the xorb, in bytes."""

    hash: bytes
    size: int
    offset: int


@dataclass(frozen=True, slots=True)
class Xorb:
    """A verified xorb: its hash in Xet hex, its chunks, and its serialized size in bytes without any footer."""

    hash: str
    chunks: tuple[Chunk, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a file: chunks [first, last) of the xorb of that hash (Xet hex), ``size`` uncompressed bytes."""

    xorb: str
    size: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class ShardFile:
    """A file as a shard describes it: hash in Xet hex, segments in order, one range hash a segment or none, plain SHA-256 hex."""

    hash: str
    segments: tuple[Segment, ...]
    verification: tuple[bytes, ...]
    sha256: str | None

    @property
    def size(self) -> int:
        """The size of the file in bytes, as declared."""
        return sum(segment.size for segment in self.segments)


@dataclass(frozen=True, slots=True)
class Shard:
    """The files that a shard registers."""

    files: tuple[ShardFile, ...]


# Hashes


def to_hex(digest: bytes) -> str:
    """Xet hex of 32 bytes: each group of eight is a little-endian integer. Raises `XetError` for any other length."""
    try:
        return "{:016x}{:016x}{:016x}{:016x}".format(*_WORDS.unpack(digest))
    except struct.error:
        raise XetError(f"A Xet hash has 32 bytes, this one {len(digest)}.") from None


def from_hex(text: str) -> bytes:
    """The 32 bytes that Xet hex stands for. Raises `XetError` for anything but 64 lower-case hex digits."""
    if not _HEX.fullmatch(text):
        raise XetError("A Xet hash is written as 64 lower-case hex digits.")
    return _WORDS.pack(*(int(text[i : i + 16], 16) for i in range(0, 64, 16)))


def chunk_hash(data: bytes) -> bytes:
    """The hash of one chunk of uncompressed data."""
    return blake3(data, key=_DATA_KEY).digest()


def range_hash(chunks: Iterable[Chunk]) -> bytes:
    """The verification hash of a segment: proof that whoever made the shard knew the chunks."""
    return blake3(b"".join(chunk.hash for chunk in chunks), key=_RANGE_KEY).digest()


def aggregate(nodes: Iterable[tuple[bytes, int]]) -> bytes:
    """The root of the Merkle tree over leaves (hash, size in bytes); zeros when there is none."""
    tree = _MerkleTree()
    for node in nodes:
        tree.add(node)
    return tree.root()


def xorb_hash(chunks: Iterable[Chunk]) -> str:
    """The hash of a xorb in Xet hex, from its chunks in order."""
    return to_hex(aggregate((chunk.hash, chunk.size) for chunk in chunks))


def file_hash(chunks: Iterable[Chunk]) -> str:
    """The hash of a file in Xet hex, from its chunks in order; zeros for the empty file."""
    return _salted(aggregate((chunk.hash, chunk.size) for chunk in chunks))


def _salted(root: bytes) -> str:
    return to_hex(root if root == _ZEROS else blake3(root, key=_ZEROS).digest())


class _MerkleTree:
    """Xet's Merkle tree, fed leaf by leaf: every level holds only its one unfinished group.

    A group ends after three to nine nodes, from the third on at a node whose hash, read as four little-endian
    words, has a last word divisible by four; the rest of a level makes a group of its own.
    """

    def __init__(self) -> None:
        self._levels: list[list[tuple[bytes, int]]] = []

    def add(self, node: tuple[bytes, int], level: int = 0) -> None:
        """Append a node (hash, size) to a level, the leaves being level 0."""
        if level == len(self._levels):
            self._levels.append([])
        group = self._levels[level]
        group.append(node)
        if len(group) == _MAX_BRANCH or (len(group) >= _MIN_BRANCH and node[0][24] % 4 == 0):
            self._close(level)

    def root(self) -> bytes:
        """Close every level and return the one node left on top; zeros for a tree without leaves."""
        level = 0
        while level < len(self._levels):
            group = self._levels[level]
            if len(group) == 1 and level == len(self._levels) - 1:
                return group[0][0]
            if group:
                self._close(level)
            level += 1
        return _ZEROS

    def _close(self, level: int) -> None:
        group = self._levels[level]
        self._levels[level] = []
        text = "".join(f"{to_hex(digest)} : {size}\n" for digest, size in group)
        self.add((blake3(text.encode(), key=_NODE_KEY).digest(), sum(size for _, size in group)), level + 1)


# Xorbs


def read_xorb(file: BinaryIO) -> Xorb:
    """Read a serialized xorb from its start and hash every chunk, up to its end or the footer of older clients.

    Raises `XetError` for anything malformed or beyond the limits; whether the hash is the announced one is the caller's to compare.
    """
    chunks: list[Chunk] = []
    offset = 0
    while stored := _read_chunk(file):
        length, data = stored
        chunks.append(Chunk(chunk_hash(data), len(data), offset))
        offset += length
        if len(chunks) > MAX_CHUNKS or offset > MAX_XORB_SIZE:
            raise XetError(f"The xorb is too large: at most {MAX_CHUNKS} chunks and {MAX_XORB_SIZE} bytes.")
    if not chunks:
        raise XetError("The xorb holds no chunk.")
    return Xorb(xorb_hash(chunks), tuple(chunks), offset)


def iter_chunks(file: BinaryIO, chunks: Sequence[Chunk]) -> Iterator[bytes]:
    """The uncompressed data of consecutive chunks of a stored xorb, read in one sweep.

    Raises `XetError` when the xorb does not hold these chunks.
    """
    if chunks:
        file.seek(chunks[0].offset)
    for chunk in chunks:
        _, data = _read_chunk(file) or (0, b"")
        if len(data) != chunk.size or chunk_hash(data) != chunk.hash:
            raise XetError(f"The stored xorb is damaged: chunk {to_hex(chunk.hash)} is not at byte {chunk.offset}.")
        yield data


def pack_chunks(chunks: Iterable[Chunk]) -> bytes:
    """A compact index of chunks, 40 bytes each: hash, u32 size, u32 offset, little-endian."""
    return b"".join(_INDEX_ENTRY.pack(chunk.hash, chunk.size, chunk.offset) for chunk in chunks)


def unpack_chunks(index: bytes) -> tuple[Chunk, ...]:
    """The chunks of an index made by `pack_chunks`. Raises `XetError` when its length is wrong."""
    if len(index) % _INDEX_ENTRY.size:
        raise XetError(f"The chunk index is damaged: {len(index)} bytes are no whole number of entries.")
    return tuple(Chunk(*entry) for entry in _INDEX_ENTRY.iter_unpack(index))


def _read_chunk(file: BinaryIO) -> tuple[int, bytes] | None:
    """The next chunk as (bytes taken in the xorb, uncompressed data); None at the end or the footer.

    Header: u8 version = 0, u24 compressed size, u8 scheme, u24 uncompressed size, little-endian.
    """
    header = file.read(_CHUNK_HEADER_SIZE)
    if not header or header.startswith(_XORB_FOOTER):
        return None
    if len(header) < _CHUNK_HEADER_SIZE:
        raise XetError("The xorb ends inside a chunk header: it arrived incomplete, send it again.")
    version, scheme = header[0], header[4]
    length, size = int.from_bytes(header[1:4], "little"), int.from_bytes(header[5:8], "little")
    # A compressor may enlarge what it cannot compress, never by much.
    if version != 0 or not 0 < size <= MAX_CHUNK_SIZE or length > 2 * MAX_CHUNK_SIZE:
        raise XetError(f"The xorb has a bad chunk header: version {version}, {length} bytes for {size}.")
    stored = file.read(length)
    if len(stored) < length:
        raise XetError("The xorb ends inside a chunk: it arrived incomplete, send it again.")
    return _CHUNK_HEADER_SIZE + length, _decode(scheme, stored, size)


def _decode(scheme: int, stored: bytes, size: int) -> bytes:
    match scheme:
        case Scheme.STORED:
            data = stored
        case Scheme.LZ4:
            data = _decompress(stored, size)
        case Scheme.GROUPED_LZ4:
            data = _ungroup(_decompress(stored, size))
        case _:
            raise XetError(f"The xorb has a chunk of unknown compression scheme {scheme}; known are 0, 1 and 2.")
    if len(data) != size:
        raise XetError(f"The xorb has a chunk that declares {size} bytes and holds {len(data)}.")
    return data


def _decompress(frame: bytes, size: int) -> bytes:
    """One whole LZ4 frame of ``size`` bytes; asking for one byte more lets the decoder see the end mark, and us a bomb."""
    decoder = lz4.frame.LZ4FrameDecompressor()
    try:
        data: bytes = decoder.decompress(frame, max_length=size + 1)
    except RuntimeError as error:
        raise XetError(f"The xorb has a chunk that is no valid LZ4 frame: {error}.") from None
    if not decoder.eof or decoder.unused_data:
        raise XetError(f"The xorb has a chunk that is not exactly one LZ4 frame of {size} bytes.")
    return data


def _ungroup(grouped: bytes) -> bytes:
    """Undo byte grouping: all first bytes of four, then all second ones, and so on, back to their places."""
    data = bytearray(len(grouped))
    start = 0
    for lane in range(4):
        end = start + (len(grouped) - lane + 3) // 4
        data[lane::4] = grouped[start:end]
        start = end
    return bytes(data)


# Shards


def read_shard(data: bytes) -> Shard:
    """Read an uploaded shard: header, file section, xorb section; what follows (lookup tables, footer) is ignored.

    Raises `XetError` for anything malformed or beyond the limits.
    """
    if len(data) < _SHARD_HEADER.size:
        raise XetError("The shard ends inside its header: it arrived incomplete, send it again.")
    tag, version, _ = _SHARD_HEADER.unpack_from(data)
    if tag != _SHARD_TAG or version != _SHARD_VERSION:
        raise XetError(f"This is no Xet shard of version {_SHARD_VERSION}.")
    records = _Records(data, _SHARD_HEADER.size)
    files = _read_files(records)
    _skip_xorbs(records)
    return Shard(files)


class _Records:
    """A cursor over the records of a shard: each is a hash and four u32, whose meaning depends on its place."""

    def __init__(self, data: bytes, offset: int) -> None:
        self._data = data
        self._offset = offset

    def take(self) -> tuple[bytes, int, int, int, int]:
        """The next record."""
        offset = self._offset
        self.skip(1)
        digest, a, b, c, d = _RECORD.unpack_from(self._data, offset)
        return digest, a, b, c, d

    def skip(self, count: int) -> None:
        """Pass over records that must be there."""
        self._offset += count * _RECORD.size
        if self._offset > len(self._data):
            raise XetError("The shard ends inside a section: it arrived incomplete, send it again.")

    def headers(self) -> Iterator[tuple[bytes, int, int]]:
        """Hash, flags and number of entries of each header up to the end of the section; the caller takes the entries."""
        while (record := self.take())[0] != _BOOKEND:
            yield record[:3]


def _read_files(records: _Records) -> tuple[ShardFile, ...]:
    files: list[ShardFile] = []
    room = MAX_SEGMENTS
    for digest, flags, count in records.headers():
        room -= count
        if room < 0 or len(files) == MAX_FILES:
            raise XetError(f"The shard is too large: at most {MAX_FILES} files and {MAX_SEGMENTS} segments. Push fewer files at once.")
        files.append(_read_file(records, digest, flags, count))
    return tuple(files)


def _read_file(records: _Records, digest: bytes, flags: int, count: int) -> ShardFile:
    segments = tuple(_read_segment(records) for _ in range(count))
    verification = tuple(records.take()[0] for _ in range(count)) if flags & _HAS_VERIFICATION else ()
    # hf_xet declares a SHA-256 of zeros for the empty file: as good as none.
    sha256 = records.take()[0] if flags & _HAS_SHA256 else _ZEROS
    return ShardFile(to_hex(digest), segments, verification, None if sha256 == _ZEROS else to_hex(sha256))


def _read_segment(records: _Records) -> Segment:
    digest, _, size, first, last = records.take()
    if not first < last <= MAX_CHUNKS:
        raise XetError(f"The shard has a segment of chunks {first} to {last}, which no xorb can hold.")
    return Segment(to_hex(digest), size, first, last)


def _skip_xorbs(records: _Records) -> None:
    """Only the shape is checked: the hub reads the chunks of a xorb from the xorb itself."""
    for _, _, count in records.headers():
        if count > MAX_CHUNKS:
            raise XetError(f"The shard has a xorb of {count} chunks, at most {MAX_CHUNKS} are allowed.")
        records.skip(count)


# Files

_Part = tuple[Segment, bytes | None]


def reassemble(file: ShardFile, xorb: Callable[[str], tuple[BinaryIO, Sequence[Chunk]]]) -> Iterator[bytes]:
    """The bytes of a file in order, in pieces of about 1 MiB.

    ``xorb`` opens a stored xorb by its hash and says which chunks it holds; it is asked once for consecutive segments of the
    same xorb, and what it opened is closed after them. A segment is verified before its first byte is given out, the hash of
    the file after its last: only an exhausted iterator is a proof.
    Raises `XetError` when anything is not as the shard says.
    """
    tree = _MerkleTree()
    parts: Iterable[_Part] = zip(file.segments, file.verification or repeat(None), strict=False)
    for name, run in groupby(parts, key=lambda part: part[0].xorb):
        source, held = xorb(name)
        with source:
            yield from _batched(_read_segments(run, source, held, tree))
    if _salted(tree.root()) != file.hash:
        raise XetError(f"The segments of file {file.hash} do not add up to its hash.")


def _read_segments(parts: Iterable[_Part], source: BinaryIO, held: Sequence[Chunk], tree: _MerkleTree) -> Iterator[bytes]:
    for segment, proof in parts:
        chunks = _segment_chunks(segment, proof, held)
        for chunk in chunks:
            tree.add((chunk.hash, chunk.size))
        yield from iter_chunks(source, chunks)


def _segment_chunks(segment: Segment, proof: bytes | None, held: Sequence[Chunk]) -> Sequence[Chunk]:
    name = f"chunks {segment.first} to {segment.last} of xorb {segment.xorb}"
    if segment.last > len(held):
        raise XetError(f"A file uses {name}, which has only {len(held)}.")
    chunks = held[segment.first : segment.last]
    size = sum(chunk.size for chunk in chunks)
    if size != segment.size:
        raise XetError(f"A file takes {segment.size} bytes for {name}, which are {size}.")
    if proof is not None and range_hash(chunks) != proof:
        raise XetError(f"A file has a verification hash that does not match {name}.")
    return chunks


def _batched(pieces: Iterable[bytes]) -> Iterator[bytes]:
    batch: list[bytes] = []
    held = 0
    for piece in pieces:
        batch.append(piece)
        held += len(piece)
        if held >= _BATCH_SIZE:
            yield b"".join(batch)
            batch, held = [], 0
    if batch:
        yield b"".join(batch)
