"""Every JSON Lines file is read alike: questions, anchors and exports."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from latent_agent.errors import SettingError
from latent_agent.evaluation.items import read_items
from latent_agent.nights.regression_set import read_anchors
from latent_memory import LatentMemory
from tests.support.memories import trace

SEPARATED = "one\u2028two\u2029three\u0085four\x0bfive"

WRITTEN: dict[str, Callable[[list[str]], str]] = {
    "as it should be": lambda lines: "".join(line + "\n" for line in lines),
    "byte order mark": lambda lines: "\ufeff" + "".join(line + "\n" for line in lines),
    "CR LF": lambda lines: "".join(line + "\r\n" for line in lines),
    "blank lines": lambda lines: "\n \t\r\n" + "".join(line + "\n\n" for line in lines) + "\n ",
    "no last end of line": "\n".join,
}


@pytest.mark.parametrize("way", WRITTEN)
def test_questions_anchors_and_exports_are_read_alike(tmp_path: Path, way: str) -> None:
    rows = [{"question": SEPARATED, "answer": "1"}, {"question": "two", "answer": 2}]
    text = WRITTEN[way]([json.dumps(row, ensure_ascii=False) for row in rows])
    file = tmp_path / "rows.jsonl"
    file.write_bytes(text.encode())
    for read in (read_items, read_anchors):
        assert [one.question for one in read(file)] == [SEPARATED, "two"]


@pytest.mark.parametrize("way", WRITTEN)
def test_an_export_is_read_in_any_of_these_ways(tmp_path: Path, way: str) -> None:
    with LatentMemory(tmp_path / "m.sqlite3") as memory:
        memory.add_many([trace(0, query=SEPARATED), trace(1)])
        memory.export(tmp_path / "export")
    file = tmp_path / "export" / "traces.jsonl"
    lines = file.read_bytes().decode().removesuffix("\n").split("\n")
    file.write_bytes(WRITTEN[way](lines).encode())
    with LatentMemory(tmp_path / "other.sqlite3") as other:
        assert other.import_(tmp_path / "export") == 2
        stored = other.get(1)
        assert stored is not None
        assert stored.trace.query == SEPARATED


def refusals(tmp_path: Path, content: bytes) -> list[str]:
    """Return what each reader says of a file."""
    file = tmp_path / "traces.jsonl"
    file.write_bytes(content)
    messages: list[str] = []
    with LatentMemory(tmp_path / "m.sqlite3") as memory:
        for read in (lambda: read_items(file), lambda: read_anchors(file),
                     lambda: memory.import_(tmp_path)):  # fmt: skip
            with pytest.raises(Exception, match="line") as refused:
                read()
            messages.append(str(refused.value))
    return messages


@pytest.mark.parametrize("line", [b"{no json", b'{"question": "\xff", "answer": "1"}', b"[1]"])
def test_an_error_names_the_file_and_the_line(tmp_path: Path, line: bytes) -> None:
    """Blank lines count, as in an editor."""
    for message in refusals(tmp_path, b"\xef\xbb\xbf\r\n\r\n" + line + b"\r\n"):
        assert re.search(r"\bline 3\b", message)
        assert str(tmp_path / "traces.jsonl") in message


@pytest.mark.parametrize(
    "row",
    [{"question": {"text": "?"}, "answer": "1"}, {"question": "?", "answer": {"value": 1}},
     {"question": "?", "answer": None}],
)  # fmt: skip
def test_an_object_is_no_anchor(tmp_path: Path, row: object) -> None:
    file = tmp_path / "anchors.jsonl"
    file.write_text(json.dumps(row))
    with pytest.raises(SettingError, match=r"in line 1 of .*anchors\.jsonl"):
        read_anchors(file)
