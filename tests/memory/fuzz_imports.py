"""Damaged and hostile import files: ``python -m tests.memory.fuzz_imports --minutes 10``.

Each is imported into a memory with traces of its own. It is taken whole, and verify finds nothing
then, or it is refused with an ``ImportFileError``, and nothing has changed.
"""

import argparse
import math
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from hypothesis import strategies as st

from latent_memory import ImportFileError, LatentMemory
from tests.support.memories import in_namespace, trace

NAMES = ("traces.jsonl", "latents-0001.safetensors")
KINDS = ("cut", "flip", "insert", "replace", "double", "drop line", "swap", "dtype")
DTYPES = {
    "BF16": 2, "F16": 2, "I16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "BOOL": 1, "U8": 1, "F32": 4,
    "I32": 4, "F64": 8, "C64": 8, "I64": 8,
}  # fmt: skip
"""Names of dtypes, and their bytes."""
ARRAY = re.compile(
    rb'"dtype":"[A-Z0-9_]+","shape":\[(\d+(?:,\d+)*)\],"data_offsets":\[(\d{1,9}),(\d{1,9})\]'
)
TOKENS = (
    b"NaN", b"-1e999", b"null", b"[]", b"{}", b'"', b"\\ud800", b"[" * 500, b"9" * 400, b"\n",
    b"\0", b"\xff\xfe", b"-0.0", b"true", b'{"traces":3}\n', b"../../x", b"F64", b"BOOL", b"I8",
)  # fmt: skip

# The file, what is done to it, where (as a share of its length), and with which bytes.
Damage = tuple[str, str, float, bytes]


def damages() -> st.SearchStrategy[list[Damage]]:
    """One to four damages."""
    one = st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from(KINDS),
        st.floats(0, 1),
        st.sampled_from(TOKENS) | st.binary(min_size=1, max_size=9),
    )
    return st.lists(one, min_size=1, max_size=4)


def damaged(content: bytes, kind: str, share: float, token: bytes) -> bytes:
    """Return content with one damage done to it."""
    at = int(share * max(len(content) - 1, 0))
    lines = content.splitlines(keepends=True) or [b""]
    line = min(int(share * len(lines)), len(lines) - 1)
    match kind:
        case "cut":
            return content[:at]
        case "flip":
            return content[:at] + bytes([content[at] ^ (1 << token[0] % 8)]) + content[at + 1 :]
        case "insert":
            return content[:at] + token + content[at:]
        case "replace":
            return content[:at] + token + content[at + len(token) :]
        case "double":
            return b"".join([*lines[: line + 1], *lines[line:]])
        case "dtype":
            return retyped(content, share, token[0])
        case "drop line":
            return b"".join(lines[:line] + lines[line + 1 :])
        case _:
            return b"".join([*lines[line:], *lines[:line]])


def retyped(content: bytes, share: float, number: int) -> bytes:
    """Give an array of a safetensors file another dtype, and the shape that its bytes make then."""
    if not (found := list(ARRAY.finditer(content))):
        return content
    array = found[min(int(share * len(found)), len(found) - 1)]
    name, size = list(DTYPES.items())[number % len(DTYPES)]
    *rows, _ = array[1].decode().split(",")
    start, end = int(array[2]), int(array[3])
    width = (end - start) // (size * math.prod(map(int, rows)) or 1)
    shape = ",".join([*rows, str(width)])
    entry = f'"dtype":"{name}","shape":[{shape}],"data_offsets":[{start},{end}]'.encode()
    length = int.from_bytes(content[:8], "little") + len(entry) - len(array[0])
    written = (length % 2**64).to_bytes(8, "little")
    return written + content[8 : array.start()] + entry + content[array.end() :]


class Target:
    """What damaged files are imported into."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._whole = folder / "tried", folder / "whole"
        with LatentMemory(folder / "from.sqlite3") as source:
            source.add_many(trace(number, neighbours=(1,)) for number in range(3))
            source.export(self._whole)
        self._memory = LatentMemory(folder / "place" / "to.sqlite3")
        self._own = self._memory.add(trace(99, shelf=in_namespace("own")))

    def try_one(self, damage: Sequence[Damage]) -> bool:
        """Damage an export, import it, and return whether it was taken."""
        shutil.rmtree(self._folder, ignore_errors=True)
        shutil.copytree(self._whole, self._folder)
        for name, kind, share, token in damage:
            file = self._folder / name
            if content := file.read_bytes():
                file.write_bytes(damaged(content, kind, share, token))
        try:
            taken = self._memory.import_(self._folder) >= 0
        except ImportFileError:
            taken = False
        ids = [info.id for info in self._memory.list(limit=10**6)]
        assert self._own in ids, "a trace of its own is gone"
        assert taken or ids == [self._own], "refused, and something of it is there"
        assert self._memory.verify() == [], "what was taken is not sound"
        if foreign := [id_ for id_ in ids if id_ != self._own]:
            self._memory.forget(ids=foreign)
        return taken


def main() -> None:
    """Try damages until the time is over; exit with 1 and the damage if one does harm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng, end, tried, taken = random.Random(given.seed), time.monotonic() + 60 * given.minutes, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        target = Target(Path(folder))
        while time.monotonic() < end:
            damage = [
                (rng.choice(NAMES), rng.choice(KINDS), rng.random(), rng.choice(TOKENS))
                for _ in range(rng.randint(1, 4))
            ]
            try:
                taken += target.try_one(damage)
            except Exception as error:
                sys.exit(f"{damage}: {type(error).__name__}: {error}")
            tried += 1
    sys.stdout.write(f"{tried} damaged imports: {taken} still whole, all others refused\n")


if __name__ == "__main__":
    main()
