"""What a Xet client writes: xorbs, shards and whole pushes of one file, for tests that have to send some.

Chunks are cut at a fixed size, since where a client cuts is its own affair; everything else is as hf_xet 1.8.0 does it.
"""

import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

import lz4.frame

from hub.xet import Chunk, Scheme, Segment, ShardFile, file_hash, from_hex, range_hash, read_xorb

BOOKEND = b"\xff" * 32 + bytes(16)
SHARD_TAG = b"HFRepoMetaData\0UigEj{\x81W\x83\xa5\xbd\xd9\\\xcd\xd1J\xa9"


def write_chunk(data: bytes, scheme: int = Scheme.LZ4, *, size: int | None = None, stored: bytes | None = None) -> bytes:
    """One chunk behind its header; ``size`` and ``stored`` replace what is true, to make a bad one."""
    if stored is None:
        grouped = b"".join(data[lane::4] for lane in range(4)) if scheme == Scheme.GROUPED_LZ4 else data
        stored = data if scheme == Scheme.STORED else lz4.frame.compress(grouped, store_size=False)
    lengths = (len(stored).to_bytes(3, "little"), (len(data) if size is None else size).to_bytes(3, "little"))
    return b"\0" + lengths[0] + bytes([scheme]) + lengths[1] + stored


def write_xorb(chunks: Iterable[bytes], scheme: Scheme = Scheme.LZ4) -> bytes:
    """A serialized xorb of these chunks of uncompressed data."""
    return b"".join(write_chunk(data, scheme) for data in chunks)


def write_shard(files: Iterable[ShardFile], xorbs: Mapping[str, Sequence[Chunk]] | None = None, *, footer: bytes = b"") -> bytes:
    """A serialized shard of these files, with the chunks of new xorbs by their hash, and what comes after."""
    header = SHARD_TAG + struct.pack("<QQ", 2, len(footer))
    file_section = b"".join(map(_file_records, files)) + BOOKEND
    xorb_section = b"".join(_xorb_records(name, chunks) for name, chunks in (xorbs or {}).items()) + BOOKEND
    return header + file_section + xorb_section + footer


def _file_records(file: ShardFile) -> bytes:
    flags = (bool(file.verification) << 31) | (bool(file.sha256) << 30)
    records = [struct.pack("<32sIIQ", from_hex(file.hash), flags, len(file.segments), 0)]
    records += [struct.pack("<32s4I", from_hex(part.xorb), 0, part.size, part.first, part.last) for part in file.segments]
    records += [proof + bytes(16) for proof in file.verification]
    records += [from_hex(file.sha256) + bytes(16)] if file.sha256 else []
    return b"".join(records)


def _xorb_records(name: str, chunks: Sequence[Chunk]) -> bytes:
    size = sum(chunk.size for chunk in chunks)
    records = [struct.pack("<32s4I", from_hex(name), 0, len(chunks), size, size)]
    start = 0
    for chunk in chunks:
        records.append(struct.pack("<32s4I", chunk.hash, start, chunk.size, 0, 0))
        start += chunk.size
    return b"".join(records)


@dataclass(frozen=True, slots=True)
class Push:
    """All that a client sends for one file: its xorbs by hash, then its shard."""

    file: ShardFile
    xorbs: dict[str, bytes]
    shard: bytes


def push_of(data: bytes, scheme: Scheme = Scheme.LZ4, *, chunk_size: int = 64 * 1024, chunks_per_xorb: int = 512) -> Push:
    """The push of one file that holds ``data``."""
    xorb_size = chunk_size * chunks_per_xorb
    xorbs: dict[str, bytes] = {}
    held: dict[str, tuple[Chunk, ...]] = {}
    segments: list[Segment] = []
    for start in range(0, len(data), xorb_size):
        part = data[start : start + xorb_size]
        serialized = write_xorb((part[i : i + chunk_size] for i in range(0, len(part), chunk_size)), scheme)
        xorb = read_xorb(BytesIO(serialized))
        xorbs[xorb.hash], held[xorb.hash] = serialized, xorb.chunks
        segments.append(Segment(xorb.hash, len(part), 0, len(xorb.chunks)))
    proofs = tuple(range_hash(held[segment.xorb]) for segment in segments)
    chunks = [chunk for segment in segments for chunk in held[segment.xorb]]
    file = ShardFile(file_hash(chunks), tuple(segments), proofs, hashlib.sha256(data).hexdigest())
    return Push(file, xorbs, write_shard([file], held))
