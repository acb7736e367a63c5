"""Latents to bytes and back.

Version 1: the base in float16, and what moved from it in int8 with one float32 scale a row. Ahead
of that a version byte and the shape, after it a CRC-32 of everything before. Rounding is to the
nearest, so a coordinate of ``optimised`` is off by at most 1/254 of its row's largest movement.
"""

import struct
import zlib

import numpy as np

from latent_memory.errors import DamageError
from latent_memory.trace import Matrix

LARGEST = 65504.0  # float16's

_VERSION = 1
_HEAD = struct.Struct("<BHI")  # version, N, d
_CRC = struct.Struct("<I")


def encode_latents(base: Matrix, optimised: Matrix) -> bytes:
    """Pack base and optimised latents, both (N, d) and finite."""
    rows, width = base.shape
    rounded = base.astype("<f2")
    moved = optimised - rounded.astype(np.float32)
    scales = (np.abs(moved).max(axis=1) / 127).astype("<f4")
    steps = np.rint(moved / np.where(scales > 0, scales, 1)[:, None]).astype(np.int8)
    packed = b"".join(
        (_HEAD.pack(_VERSION, rows, width), rounded.tobytes(), scales.tobytes(), steps.tobytes())
    )
    return packed + _CRC.pack(zlib.crc32(packed))


def decode_latents(packed: bytes) -> tuple[Matrix, Matrix]:
    """Unpack base and optimised latents, both (N, d) float32.

    Raises:
        DamageError: If these are not the bytes that ``encode_latents`` returned.
    """
    if len(packed) < _HEAD.size + _CRC.size:
        raise DamageError(f"stored latents must have a head and a checksum, got {packed!r}")
    version, rows, width = _HEAD.unpack_from(packed)
    if version != _VERSION:
        raise DamageError(f"stored latents must be of format {_VERSION}, got format {version}")
    values = rows * width
    if len(packed) != _HEAD.size + 3 * values + 4 * rows + _CRC.size:
        raise DamageError(
            f"stored latents of shape ({rows}, {width}) must have a length that fits, got "
            f"{len(packed)} bytes"
        )
    if zlib.crc32(memoryview(packed)[: -_CRC.size]) != _CRC.unpack(packed[-_CRC.size :])[0]:
        raise DamageError("stored latents must match their checksum, but some bytes have changed")
    at = _HEAD.size
    base = np.frombuffer(packed, "<f2", values, at).reshape(rows, width).astype(np.float32)
    scales = np.frombuffer(packed, "<f4", rows, at + 2 * values)[:, None]
    steps = np.frombuffer(packed, np.int8, values, at + 2 * values + 4 * rows)
    optimised = steps.reshape(rows, width).astype(np.float32)  # changed in place: recalls are many
    optimised *= scales
    optimised += base
    return base, optimised
