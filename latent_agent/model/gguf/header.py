"""The front of a GGUF file: its metadata, and where its tensors lie.

The gguf package's own reader makes a numpy array of each token, which takes seconds for a large
vocabulary. This one steps over arrays until they are asked for.
"""

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NoReturn

from latent_agent.errors import ModelError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
_NUMBERS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q",
    12: "<d",
}  # fmt: skip
_TEXT, _ARRAY = 8, 9
_DIMENSIONS = 4
_ALIGNMENT = 32  # bytes, where a file names no other


@dataclass(frozen=True)
class Tensor:
    """Where a tensor's numbers lie.

    Attributes:
        name: As llama.cpp calls it, such as ``output.weight``.
        kind: Number of its `gguf.GGMLQuantizationType`.
        shape: Rows first, as numpy has it.
        start: Where its bytes begin in the file.
        buffer: The file.
    """

    name: str
    kind: int
    shape: tuple[int, ...]
    start: int
    buffer: mmap.mmap

    @property
    def row_bytes(self) -> int:
        """How many bytes a row takes.

        Raises:
            ModelError: If its numbers are packed in an unknown way.
        """
        try:
            block, size = package().GGML_QUANT_SIZES[package().GGMLQuantizationType(self.kind)]
        except (ValueError, KeyError) as error:
            raise ModelError(
                f"a tensor must be packed in a known way, got number {self.kind} for "
                f"{self.name!r}; update the gguf package (pip install -U gguf), or choose another "
                "quantisation"
            ) from error
        return self.shape[-1] * size // block

    @property
    def end(self) -> int:
        """Where the file goes on behind its bytes."""
        return self.start + self.row_bytes * prod(self.shape[:-1])


@dataclass(frozen=True)
class _Array:
    kind: int
    count: int
    start: int


class Header:
    """Metadata and tensors of one file, read when it is made.

    Attributes:
        path: The file.
        size: How many bytes it has.
        values: Numbers, flags and texts by key.
        tensors: By name.

    Raises:
        ModelError: If it is no GGUF file of a known version, or ends before its tensors begin.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._buffer = _mapped(path)
        self.size = len(self._buffer)
        self.values: dict[str, Any] = {}
        self._arrays: dict[str, _Array] = {}
        self._at = 0
        try:
            self.tensors: Mapping[str, Tensor] = self._read()
        except (struct.error, OverflowError, UnicodeDecodeError, ValueError) as error:
            raise ModelError(
                f"a GGUF file must be whole, got {str(path)!r} of {self.size} bytes, which ends or "
                f"breaks in its metadata ({error}); download it again"
            ) from error

    def array(self, key: str) -> list[Any]:
        """Read an array; it is empty if there is none."""
        span = self._arrays.get(key)
        if span is None:
            return []
        if span.kind != _TEXT:
            layout = f"<{span.count}{_NUMBERS[span.kind][1]}"
            return list(struct.unpack_from(layout, self._buffer, span.start))
        texts, at, length_of = [], span.start, struct.Struct("<Q").unpack_from
        for _ in range(span.count):
            (length,) = length_of(self._buffer, at)
            texts.append(self._buffer[at + 8 : at + 8 + length].decode("utf-8", "replace"))
            at += 8 + length
        return texts

    def _read(self) -> dict[str, Tensor]:
        magic, version = self._buffer[:4], self._buffer[4:8]
        if magic != MAGIC:
            self._refuse("begin with 'GGUF'", repr(magic), "download it again, or convert it")
        number = int.from_bytes(version, "little")
        if number & 0xFFFF == 0:
            self._refuse(
                "be little-endian", "one that is not",
                "download the little-endian file, or turn it with gguf_convert_endian.py",
            )  # fmt: skip
        if number not in VERSIONS:
            self._refuse(
                f"be of version {VERSIONS[0]} or {VERSIONS[1]}", f"version {number}",
                "convert the model again" if number < VERSIONS[0] else "update latent-agent",
            )  # fmt: skip
        self._at = 8
        tensors, pairs = self._number("<Q"), self._number("<Q")
        for _ in range(pairs):
            key = self._text()
            self._value(key, self._number("<I"))
        found = [self._tensor() for _ in range(tensors)]
        alignment = self.values.get("general.alignment", _ALIGNMENT)
        if not isinstance(alignment, int) or alignment < 1:
            raise ValueError(f"alignment {alignment!r}")
        begin = -(-self._at // alignment) * alignment
        return {
            name: Tensor(name, kind, shape, begin + offset, self._buffer)
            for name, kind, shape, offset in found
        }

    def _refuse(self, rule: str, value: str, remedy: str) -> NoReturn:
        raise ModelError(f"a GGUF file must {rule}, got {value} in {str(self.path)!r}; {remedy}")

    def _number(self, layout: str) -> Any:
        (value,) = struct.unpack_from(layout, self._buffer, self._at)
        self._at += struct.calcsize(layout)
        return value

    def _text(self, *, strict: bool = True) -> str:
        length = self._number("<Q")
        begin, self._at = self._at, self._at + length
        self._within()
        return self._buffer[begin : self._at].decode("utf-8", "strict" if strict else "replace")

    def _within(self) -> None:
        if self._at > self.size:
            raise ValueError(f"byte {self._at} is needed")

    def _value(self, key: str, kind: int) -> None:
        if kind == _TEXT:
            self.values[key] = self._text(strict=False)
        elif kind == _ARRAY:
            inner, count = self._number("<I"), self._number("<Q")
            self._arrays[key] = _Array(inner, count, self._at)
            self._skip(inner, count)
        elif kind in _NUMBERS:
            self.values[key] = self._number(_NUMBERS[kind])
        else:
            raise ValueError(f"{key!r} is of unknown type {kind}")

    def _skip(self, kind: int, count: int) -> None:
        if kind in _NUMBERS:
            self._at += struct.calcsize(_NUMBERS[kind]) * count
        elif kind == _TEXT:
            buffer, at, length_of = self._buffer, self._at, struct.Struct("<Q").unpack_from
            for _ in range(count):
                at += 8 + length_of(buffer, at)[0]
            self._at = at
        else:
            raise ValueError(f"an array is of unknown type {kind}")
        self._within()

    def _tensor(self) -> tuple[str, int, tuple[int, ...], int]:
        name, dimensions = self._text(), self._number("<I")
        if not 1 <= dimensions <= _DIMENSIONS:
            raise ValueError(f"{name!r} has {dimensions} dimensions")
        shape = tuple(self._number("<Q") for _ in range(dimensions))[::-1]
        return name, self._number("<I"), shape, self._number("<Q")


def package() -> Any:
    """Return the gguf package; raise `ModelError` where it is not installed."""
    try:
        import gguf
    except ImportError as error:
        raise ModelError(
            "GGUF files need the package gguf, got none; pip install 'latent-agent[llama-cpp]'"
        ) from error
    return gguf


def _mapped(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as stream:
            return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # an empty file cannot be mapped
        raise ModelError(
            f"a GGUF file must be readable and not empty, got {str(path)!r} ({error}); check the "
            "path, or download it again"
        ) from error
