"""Export and import: the same recalls, or nothing at all and the line where it failed."""

import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_torch
from safetensors.torch import save_file as save_torch

from latent_memory import (
    DamageError,
    ImportFileError,
    LatentMemory,
    LocationError,
    StorageError,
    TraceError,
)
from tests.support.memories import SHELF, in_namespace, recalled, trace, vector
from tests.support.servers import Place


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A memory, its export, and another memory; they are only copied."""
    folder = tmp_path_factory.mktemp("made")
    with LatentMemory(folder / "m.sqlite3") as memory:
        memory.add_many(trace(number) for number in range(30))
        memory.add(trace(30, neighbours=(3, 29), prior="7"))
        memory.add(trace(31, shelf=in_namespace("other"), query=None, answer=None))
        memory.forget(ids=[5])
        assert memory.export(folder / "export") == 31
    with LatentMemory(folder / "other" / "m.sqlite3") as other:
        other.add_many(trace(100 + number, shelf=in_namespace("before")) for number in range(3))
    return folder


@pytest.fixture
def memory(made: Path, tmp_path: Path):
    with LatentMemory(shutil.copy(made / "m.sqlite3", tmp_path)) as memory:
        yield memory


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made / "export", tmp_path / "export")


@pytest.fixture
def other(made: Path, tmp_path: Path):
    with LatentMemory(shutil.copytree(made / "other", tmp_path / "other") / "m.sqlite3") as memory:
        yield memory


def test_an_import_gives_the_same_recalls(
    memory: LatentMemory, folder: Path, other: LatentMemory
) -> None:
    steps: list[tuple[int, int]] = []
    assert other.import_(folder, progress=lambda *step: steps.append(step)) == 31
    assert steps[-1][0] <= steps[-1][1] == (folder / "traces.jsonl").stat().st_size
    for number in range(40):
        there, here = (m.recall(vector(number), shelf=SHELF, k=6) for m in (memory, other))
        assert [one.similarity for one in there] == [one.similarity for one in here]
        for one, two in zip(there, here, strict=True):
            assert two.stored.id == one.stored.id + (3 if one.stored.id < 5 else 2)
            assert two.stored.created == one.stored.created
            assert one.stored.trace.tokens == two.stored.trace.tokens
            np.testing.assert_array_equal(one.stored.trace.base, two.stored.trace.base)
            np.testing.assert_allclose(
                one.stored.trace.optimised, two.stored.trace.optimised, atol=1e-5
            )
    assert other.verify() == []
    last = other.list(limit=2)[1]
    stored = other.get(last.id)
    assert stored is not None
    assert (stored.trace.query, stored.trace.prior) == ("question 30?", "7")
    assert stored.trace.neighbours == (6, 31), "neighbours must be those that were imported"
    (nameless,) = other.list(namespace="other")
    assert (nameless.query, nameless.answer) == (None, None)


def test_what_was_forgotten_is_not_exported(folder: Path) -> None:
    lines = (folder / "traces.jsonl").read_text().splitlines()
    assert "question 4?" not in "".join(lines)
    assert json.loads(lines[-1]) == {"traces": 31}
    assert "5.base" not in load_file(folder / "latents-0001.safetensors")


def test_one_namespace_is_exported_or_imported_into(
    memory: LatentMemory, tmp_path: Path, other: LatentMemory
) -> None:
    assert memory.export(tmp_path / "one", namespace="other") == 1
    assert other.import_(tmp_path / "one", namespace="alice's") == 1
    assert recalled(other, vector(31), in_namespace("alice's")) == [4]
    with pytest.raises(TraceError, match="namespace"):
        other.import_(tmp_path / "one", namespace="")
    with pytest.raises(TraceError, match="namespace"):
        memory.export(tmp_path / "two", namespace="a\0b")


def test_an_empty_memory_is_exported(tmp_path: Path, place: Place, other: LatentMemory) -> None:
    with LatentMemory(place("empty.sqlite3")) as memory:
        assert memory.export(tmp_path / "export") == 0
    assert other.import_(tmp_path / "export") == 0


def test_arrays_are_split_over_files(
    memory: LatentMemory, tmp_path: Path, other: LatentMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("latent_memory.transfer.exporting.SHARD", 10)
    memory.export(tmp_path / "export")
    names = sorted(file.name for file in (tmp_path / "export").iterdir())
    assert names == [*(f"latents-000{n}.safetensors" for n in range(1, 5)), "traces.jsonl"]
    assert other.import_(tmp_path / "export") == 31
    (theirs,), (ours,) = (one.recall(vector(30), shelf=SHELF, k=1) for one in (memory, other))
    assert ours.stored.trace.query == theirs.stored.trace.query
    np.testing.assert_array_equal(ours.stored.trace.optimised, theirs.stored.trace.optimised)
    assert other.verify() == []


def test_an_export_is_for_its_owner_alone(folder: Path) -> None:
    assert folder.stat().st_mode & 0o077 == 0


def test_an_export_never_overwrites(memory: LatentMemory, folder: Path) -> None:
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(LocationError, match="new or empty folder"):
        memory.export(folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_an_export_that_fails_leaves_nothing(memory: LatentMemory, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"writing '.*file/export' failed"):
        memory.export(tmp_path / "file" / "export")
    with memory.database.write() as connection:
        connection.exec_driver_sql("UPDATE latents SET bytes = zeroblob(50) WHERE trace = 20")
    before = sorted(file.name for file in tmp_path.iterdir())
    with pytest.raises(DamageError, match="trace 20 is damaged"):
        memory.export(tmp_path / "export")
    assert sorted(file.name for file in tmp_path.iterdir()) == before


def edit(folder: Path, line: int, change: Callable[[dict[str, Any]], object]) -> None:
    """Change one line of an export, counted from 1."""
    lines = (folder / "traces.jsonl").read_text().splitlines()
    parsed = json.loads(lines[line - 1])
    change(parsed)
    lines[line - 1] = json.dumps(parsed)
    (folder / "traces.jsonl").write_text("\n".join(lines) + "\n")


LINE_12: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "missing": (lambda line: line.pop("tokens"), "tokens: Field required"),
    "unknown": (lambda line: line.update(extra=1), "extra: Extra inputs are not permitted"),
    "type": (lambda line: line.update(steps="2"), "steps: .*valid integer, got '2'"),
    "token": (lambda line: line.update(tokens=[1, "2"]), r"tokens\.1: .*integer"),
    "huge token": (lambda line: line.update(tokens=[2**31]), "tokens .* to 2147483647, got 2147"),
    "reward": (lambda line: line.update(score=0.5), "score: .*less than or equal to 0, got 0.5"),
    "namespace": (lambda line: line.update(namespace=""), "namespace must be a text of 1 to 200"),
    "NUL": (lambda line: line.update(reward="a\0b"), "reward must be a text of 1 to 200"),
    "long": (lambda line: line.update(fingerprint="x" * 201), "fingerprint must be a text"),
    "time": (lambda line: line.update(created="yesterday"), "created: "),
    "zone": (lambda line: line.update(created="2026-01-01T00:00:00"), "created: .*timezone"),
    "last date": (
        lambda line: line.update(created="9999-12-31T23:59:59-14:00"),
        "created must lie between 1970 and a day after now, .*, got '9999-12-31T23:59:59-14:00'",
    ),
    "first date": (
        lambda line: line.update(created="0001-01-01T00:00:00+14:00"),
        "created must lie between 1970 .*got '0001-01-01T00:00:00[+]14:00'",
    ),
    "before 1970": (
        lambda line: line.update(created="1970-01-01T00:00:00+00:01"),
        "created must lie between 1970 .*got '1970-01-01T00:00:00[+]00:01'",
    ),
    "two days ahead": (
        lambda line: line.update(created=(datetime.now(UTC) + timedelta(days=2)).isoformat()),
        "created must lie between 1970 and a day after now",
    ),
    "too many tokens": (lambda line: line.update(tokens=[0] * 5), "got 5 for 4 latents"),
    "no such arrays": (lambda line: line.update(id=999), "999.embedding"),
    "no such file": (lambda line: line.update(shard=7), "latents-0007"),
    "path": (lambda line: line.update(shard="../../etc"), "shard: .*integer"),
    "same id": (lambda line: line.update(id=1), "its id must be its own, got 1 again"),
}


@pytest.mark.parametrize("case", LINE_12)
def test_a_wrong_line_is_named_and_nothing_imported(
    folder: Path, other: LatentMemory, case: str
) -> None:
    change, rule = LINE_12[case]
    edit(folder, 12, change)
    with pytest.raises(ImportFileError, match=rf"traces\.jsonl, line 12: .*{rule}"):
        other.import_(folder)
    assert len(other.list()) == 3
    assert other.add(trace(1)) == 4, "no id may have been taken"


def test_the_first_and_last_dates_that_are_taken(folder: Path, other: LatentMemory) -> None:
    soon = datetime.now(UTC) + timedelta(hours=23)
    edit(folder, 1, lambda line: line.update(created="1970-01-01T01:00:00+01:00"))
    edit(folder, 2, lambda line: line.update(created=soon.isoformat()))
    assert other.import_(folder) == 31
    created = [info.created for info in other.list(limit=100)]
    assert (min(created), max(created)) == (datetime(1970, 1, 1, tzinfo=UTC), soon)


TEXT: dict[str, tuple[Callable[[str], str], str]] = {
    "torn": (lambda text: text[: len(text) // 2], r"line 1[0-9]: the line must be whole"),
    "cut between lines": (
        lambda text: "".join(text.splitlines(keepends=True)[:20]),
        "line 21: the last line must count the traces",
    ),
    "a line left out": (
        lambda text: "".join(text.splitlines(keepends=True)[1:]),
        "line 31: there must be 31 traces before it, got 30",
    ),
    "more after the end": (lambda text: text + '{"traces":0}\n', "line 32: nothing may come after"),
    "no JSON": (lambda text: "hello\n" + text, "line 1: .*JSON"),
    "empty": (lambda text: "", "line 1: the last line must count"),
    "a list": (lambda text: "[1, 2]\n" + text, "line 1: "),
    "deep": (lambda text: "[" * 100_000 + "\n" + text, "line 1: "),
    "lone surrogate": (lambda text: text.replace("question 7", "\\ud800"), "line 7: .*hex escape"),
}


@pytest.mark.parametrize("case", TEXT)
def test_a_torn_file_is_noticed_and_nothing_imported(
    folder: Path, other: LatentMemory, case: str
) -> None:
    change, rule = TEXT[case]
    file = folder / "traces.jsonl"
    file.write_text(change(file.read_text()))
    with pytest.raises(ImportFileError, match=rule):
        other.import_(folder)
    assert len(other.list()) == 3


def test_a_line_has_a_longest_length(
    folder: Path, other: LatentMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("latent_memory.transfer.importing.LONGEST_LINE", 200)
    with pytest.raises(ImportFileError, match=r"line 1: .*ends after 200 bytes"):
        other.import_(folder)


def with_array(name: str, array: Any) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        arrays = load_file(file)
        save_file({**arrays, name: array}, file)

    return change


ARRAYS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda file: file.unlink(), "line 1: .*latents-0001"),
    "cut off": (lambda file: os.truncate(file, file.stat().st_size - 10), "line 1: "),
    "no safetensors": (lambda file: file.write_bytes(b"x" * 1000), "line 1: "),
    "NaN": (with_array("4.base", np.full((4, 8), np.nan, np.float16)), "line 4: .*finite"),
    "shape": (with_array("4.base", np.zeros((4, 9), np.float16)), "line 4: .*one shape"),
    "width": (with_array("4.embedding", np.zeros(17, np.float32)), "trace 4 does not.*got 17"),
    "matrix": (with_array("4.embedding", np.zeros((2, 2), np.float32)), "line 4: .*one vector"),
    "number": (
        with_array("4.embedding", np.array(1, np.float32)),
        r"line 4: .*one vector.*shape \(\)",
    ),
    "cube": (with_array("4.base", np.zeros((4, 8, 1), np.float16)), r"line 4: .*\(N, d\).*8, 1\)"),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_wrong_arrays_are_noticed_and_nothing_imported(
    folder: Path, other: LatentMemory, case: str
) -> None:
    change, rule = ARRAYS[case]
    change(folder / "latents-0001.safetensors")
    with pytest.raises(ImportFileError, match=rule):
        other.import_(folder)
    assert len(other.list()) == 3
    assert other.verify() == []


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        (torch.bfloat16, "BF16"), (torch.float8_e4m3fn, "F8_E4M3"), (torch.float64, "F64"),
        (torch.complex64, "C64"), (torch.int64, "I64"), (torch.uint8, "U8"), (torch.bool, "BOOL"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("array", ["embedding", "base", "optimised"])
def test_arrays_of_another_dtype_are_refused(
    folder: Path, other: LatentMemory, array: str, dtype: torch.dtype, name: str
) -> None:
    """NumPy has no bfloat16, and would drop what is imaginary."""
    file = folder / "latents-0001.safetensors"
    arrays = load_torch(file)
    save_torch({**arrays, f"4.{array}": arrays[f"4.{array}"].to(dtype)}, file)
    with pytest.raises(
        ImportFileError, match=rf"line 4: 4\.{array} must be of F16 or F32, got {name}"
    ):
        other.import_(folder)
    assert len(other.list()) == 3


def test_a_folder_without_an_export_is_named(tmp_path: Path, other: LatentMemory) -> None:
    with pytest.raises(ImportFileError, match=r"a folder with traces\.jsonl.*nowhere"):
        other.import_(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImportFileError, match="that was exported to"):
        other.import_(tmp_path / "empty")


def test_texts_stay_out_of_a_memory_without_texts(folder: Path, tmp_path: Path) -> None:
    with LatentMemory(tmp_path / "n" / "m.sqlite3", store_text=False) as memory:
        memory.import_(folder)
        assert {info.query for info in memory.list()} == {None}
    shutil.rmtree(folder)
    assert b"question" not in (tmp_path / "n" / "m.sqlite3").read_bytes()
