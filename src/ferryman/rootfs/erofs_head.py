"""What an EROFS image of `erofs` begins with: superblock and device table, 1536 bytes in all."""

import os
import struct

BLOCK = 512
SIZE = 3 * BLOCK
SLOT = 32
"""The unit, in bytes, in which inodes are numbered."""
DEVICE_AT = 1 << 31
"""The address of the tar's first block, behind any that the image itself may have."""

_SUPERBLOCK_AT = 1024
_SUPERBLOCK = struct.Struct("<IIIBBHQQIIII16s16sIHHHBBIQ24x")
_DEVICE = struct.Struct("<64sII56x")

_MAGIC = 0xE0F5E1E2
_COMPATIBLE = 0x2  # inodes have the time of the last change of content
_INCOMPATIBLE = 0x4 | 0x8  # files in chunks, device table
_FORM = b"ferry 1"
"""The volume's name, by which an image that an older version wrote otherwise would be known."""


def head(inodes: int, blocks: int, tar_blocks: int, identity: bytes) -> bytes:
    """Return the head of an image with so many inodes and blocks, those of the head among them.

    `tar_blocks` are the device's, `identity` is the volume's UUID: half the SHA-256 of all that
    follows.
    """
    superblock = _SUPERBLOCK.pack(
        _MAGIC,
        0,
        _COMPATIBLE,
        BLOCK.bit_length() - 1,
        0,
        SIZE // SLOT,
        inodes,
        0,
        0,
        blocks,
        0,
        0,
        identity,
        _FORM,
        _INCOMPATIBLE,
        0,
        1,
        (_SUPERBLOCK_AT + _SUPERBLOCK.size) // _DEVICE.size,
        0,
        0,
        0,
        0,
    )
    device = _DEVICE.pack(b"", tar_blocks, DEVICE_AT)
    return (bytes(_SUPERBLOCK_AT) + superblock + device).ljust(SIZE, b"\0")


def is_index_of(index: str, tar: str) -> bool:
    """Tell whether a file is the image of a tar, as far as its head and the sizes of both tell."""
    try:
        fd = os.open(index, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size, begin = os.fstat(fd).st_size, os.pread(fd, SIZE, 0)
        finally:
            os.close(fd)
        tar_blocks = -(-os.stat(tar).st_size // BLOCK)
    except FileNotFoundError:
        return False
    if len(begin) < SIZE:
        return False
    said = _SUPERBLOCK.unpack_from(begin, _SUPERBLOCK_AT)
    return begin == head(said[6], size // BLOCK, tar_blocks, said[12])


def is_whole(index: str) -> bool:
    """Tell whether all that an image says is as it was written; raises OSError."""
    import hashlib

    with open(index, "rb") as f:
        begin = f.read(SIZE)
        digest = hashlib.file_digest(f, "sha256").digest()
    return len(begin) == SIZE and _SUPERBLOCK.unpack_from(begin, _SUPERBLOCK_AT)[12] == digest[:16]
