"""One memory under several names: what lies beside it belongs to the file, not to a name."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from latent_agent.cli import app
from latent_agent.errors import NightRunningError, SettingError
from latent_agent.nights.lock import night_lock
from latent_agent.recall.open_memory import open_memory
from latent_memory import IndexSettings, LatentMemory, LocationError, migrate
from latent_memory.priors.nights import begin_night
from latent_memory.priors.priors import source_of
from latent_memory.priors.publishing import note_file, publish, reserve
from latent_memory.sqlite import backup, priors_folder
from tests.migrations.test_migrations import database_at
from tests.support.memories import SHELF, recalled, trace, vector

# Lists from 10 vectors on, so that there is an index file.
LISTS = IndexSettings(flat_until=10, members=2, probes=10_000)
NAMES = ["link", "linked folder", "link to a link", "up and down", "relative", "url", "short url"]


@pytest.fixture
def real(tmp_path: Path) -> Path:
    (tmp_path / "real").mkdir()
    return tmp_path / "real" / "m.sqlite3"


@pytest.fixture(params=NAMES)
def other(
    request: pytest.FixtureRequest, tmp_path: Path, real: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Another name of the same file, which need not be there yet."""
    names = tmp_path / "names"
    names.mkdir()
    (names / "m.sqlite3").symlink_to(real)
    (names / "second").symlink_to("m.sqlite3")
    (names / "folder").symlink_to(real.parent)
    monkeypatch.chdir(names)
    return {
        "link": f"{names}/m.sqlite3",
        "linked folder": f"{names}/folder/m.sqlite3",
        "link to a link": f"{names}/second",
        "up and down": f"{tmp_path}/missing/../real/m.sqlite3",
        "relative": "../real/m.sqlite3",
        "url": f"sqlite:///{names}/m.sqlite3",
        "short url": "sqlite:///m.sqlite3",
    }[request.param]


def names_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_what_is_stored_under_one_name_is_there_under_the_other(real: Path, other: str) -> None:
    with LatentMemory(other) as first, LatentMemory(real) as second:
        assert first.path == second.path == real
        one = first.add(trace(1))
        two = second.add(trace(2))  # so far all lies in the write-ahead log
        with LatentMemory(other, mode="read") as third:
            assert sorted(recalled(third, vector(1))) == [one, two]
        assert sorted(recalled(first, vector(1))) == [one, two]
    assert not (real.parents[1] / "missing").exists()


def test_forgetting_leaves_nothing_beside_either_name(real: Path, other: str) -> None:
    before = names_in(real.parents[1])
    with LatentMemory(other, index=LISTS) as memory:
        memory.add_many(trace(number) for number in range(20))
        recalled(memory, vector(1))
        backup(memory.path, "0001")
        prior_of(memory)
    files = [name for name in names_in(real.parents[1]) if name not in before]
    assert all(name.startswith("real/m.sqlite3") for name in files)
    assert {name.rpartition("/")[2].split("-")[0] for name in files} == {
        *("m.sqlite3", "m.sqlite3.backup", "m.sqlite3.index", "1.index"),
        *("m.sqlite3.priors", "1.safetensors"),
    }
    with LatentMemory(real) as memory:
        memory.forget(namespace="default", strict=True)
    folders = ["real/m.sqlite3", "real/m.sqlite3.index", "real/m.sqlite3.priors"]
    assert names_in(real.parents[1]) == sorted([*before, *folders])


def prior_of(memory: LatentMemory) -> None:
    """Publish a prior that learnt from all there is."""
    source = source_of(memory.database, SHELF)
    assert source is not None
    night = begin_night(memory.database, SHELF, seed=0, inputs={})
    version = reserve(memory.database, [source], night=night, positions=2)
    file = priors_folder(memory.path) / f"{version}.safetensors"
    file.parent.mkdir()
    file.write_bytes(b"weights")
    note_file(memory.database, version, file.name, "checksum")
    publish(memory.database, version)


NIGHT = """
import sys
from latent_agent.nights.lock import night_lock
from latent_memory import LatentMemory

with LatentMemory(sys.argv[1]) as memory, night_lock(memory.database):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_night_finds_the_first_ones_lock(real: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.sqlite3"
    link.symlink_to(real)
    with (
        LatentMemory(real) as memory,
        subprocess.Popen(
            [sys.executable, "-c", NIGHT, str(link)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as night,
    ):
        assert night.stdin is not None
        assert night.stdout is not None
        assert night.stdout.readline() == "held\n"
        assert memory.database.night_running()
        with (
            pytest.raises(NightRunningError, match=f"process {night.pid}"),
            night_lock(memory.database),
        ):
            pass
        night.stdin.close()
        assert night.wait(10) == 0
        assert not memory.database.night_running()


def test_two_objects_write_one_file_at_once(real: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.sqlite3"
    link.symlink_to(real)
    with LatentMemory(real, index=LISTS) as one, LatentMemory(link, index=LISTS) as two:

        def work(number: int) -> None:
            memory, made = (one, two)[number % 2], trace(number)
            id_ = memory.add(made)
            assert recalled((two, one)[number % 2], made.embedding, k=1) == [id_]
            if number % 3 == 0:
                memory.forget(ids=[id_])

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(60)))
        assert len(one.list(limit=100)) == len(two.list(limit=100)) == 40
        assert one.verify() == two.verify() == []


def test_chat_models_share_one_memory_by_whatever_name(real: Path, other: str) -> None:
    first = open_memory(other, "read-write")
    assert first is open_memory(real, "read-write")
    assert first is not None
    first.close()


def test_a_relative_name_is_looked_up_where_the_process_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        memory = open_memory("m.sqlite3", "read-write")
        assert memory is not None
        assert memory.path == tmp_path / name / "m.sqlite3"
        memory.close()


def test_a_migration_by_a_link_copies_and_changes_the_file(real: Path, tmp_path: Path) -> None:
    database_at(real, "0003")
    link = tmp_path / "link.sqlite3"
    link.symlink_to(real)
    done = migrate(link)
    assert done.backup is not None
    assert (done.path, done.backup.parent, link.is_symlink()) == (real, real.parent, True)
    assert names_in(tmp_path) == sorted(
        ["link.sqlite3", "real", "real/m.sqlite3", f"real/{done.backup.name}"]
    )
    with LatentMemory(real) as memory:
        assert memory.stats().backups == [done.backup]


def test_links_in_a_circle_are_no_place(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(LocationError, match=r"got .*a.*(circle|can be made)"):
        LatentMemory(tmp_path / "a")


@pytest.mark.parametrize("behind", [False, True])
def test_a_second_hard_link_is_not_written(real: Path, tmp_path: Path, behind: bool) -> None:
    """Each name would get a log of its own, and SQLite would lose what lies in the other's."""
    if behind:
        database_at(real, "0003")
    else:
        with LatentMemory(real) as memory:
            memory.add(trace(1))
    os.link(real, tmp_path / "second.sqlite3")
    use = migrate if behind else LatentMemory
    for name in (real, tmp_path / "second.sqlite3"):
        with pytest.raises(LocationError, match=r"one name, got .* 2 hard links; .*symbolic link"):
            use(name)
    if not behind:
        with LatentMemory(tmp_path / "second.sqlite3", mode="read") as memory:
            assert len(memory.list()) == 1
    (tmp_path / "second.sqlite3").unlink()
    use(real)


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_page_never_replaces_the_memory_by_another_name(
    real: Path, tmp_path: Path, link: Callable[[Path, Path], None]
) -> None:
    with LatentMemory(real) as memory:
        memory.add(trace(1))
    link(real, tmp_path / "page.html")
    asked = ["report", "--memory", str(real), "--out", str(tmp_path / "page.html")]
    with pytest.raises(SettingError, match="the page must not replace the memory"):
        CliRunner().invoke(app, asked, catch_exceptions=False)
    (tmp_path / "page.html").unlink()
    with LatentMemory(real) as memory:
        assert memory.verify() == []


def test_an_export_never_replaces_the_memory_by_another_name(real: Path, tmp_path: Path) -> None:
    with LatentMemory(real) as memory:
        memory.add(trace(1))
        (tmp_path / "link").symlink_to(real)
        with pytest.raises(LocationError, match="new or empty folder"):
            memory.export(tmp_path / "link")
        (tmp_path / "empty").mkdir()
        (tmp_path / "to empty").symlink_to(tmp_path / "empty")
        (tmp_path / "to nothing").symlink_to(tmp_path / "new")
        for link in ("to empty", "to nothing"):
            assert memory.export(tmp_path / link) == 1
            assert (tmp_path / link).is_symlink()
            with LatentMemory(tmp_path / f"{link}.sqlite3") as again:
                assert again.import_(tmp_path / link) == 1
        assert memory.verify() == []


def test_a_memory_that_opens_slowly_keeps_nobody_from_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, done = threading.Event(), threading.Event()

    class SlowMemory(LatentMemory):
        def __init__(self, location: Any, **given: Any) -> None:
            if location.name == "slow.sqlite3":
                began.set()
                done.wait(5)
            super().__init__(location, **given)

    monkeypatch.setattr("latent_agent.recall.open_memory.LatentMemory", SlowMemory)
    waiting = threading.Thread(target=open_memory, args=(tmp_path / "slow.sqlite3", "read-write"))
    waiting.start()
    assert began.wait(20)
    assert open_memory(tmp_path / "quick.sqlite3", "read-write")
    assert waiting.is_alive()
    done.set()
    waiting.join(20)
