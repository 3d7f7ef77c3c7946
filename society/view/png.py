"""Pictures as PNG, with the standard library alone."""

import struct
import zlib

import numpy as np

__all__ = ["png"]


def png(frame: np.ndarray) -> bytes:
    """Encode a picture.

    Args:
      frame: [H, W, 3] uint8.

    Source: W3C (2003), Portable Network Graphics (PNG) Specification, second edition.
    """
    height, width, _ = frame.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)
    rows[:, 1:] = frame.reshape(height, 3 * width)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(rows.tobytes(), 6)
    chunks = ((b"IHDR", head), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)
