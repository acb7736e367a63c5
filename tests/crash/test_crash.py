"""A process that is killed at random moments; the long form: ``python -m tests.crash``."""

from pathlib import Path

import pytest
from sqlalchemy import text

from latent_memory import LatentMemory
from tests.crash.check import check
from tests.crash.content import RATED, SHELF, make_feedback, make_trace
from tests.crash.ledger import Ledger
from tests.crash.run import run


def test_nothing_is_lost_and_nothing_invented(tmp_path: Path) -> None:
    *rounds, summary = run(7, tmp_path / "crash", seed=5)
    assert len(rounds) == 7
    assert summary.startswith("7 kills in")
    assert "migration" in rounds[5]


def test_the_check_sees_what_is_lost_or_invented(tmp_path: Path) -> None:
    """Else it would find nothing to complain about for ever."""
    ledger = Ledger(tmp_path / "ledger.jsonl")
    path = tmp_path / "memory" / "m.sqlite3"
    with LatentMemory(path) as memory:
        for number in (1, 2, 3):
            ledger.note("adding", number)
            ledger.note("added", memory.add(make_trace(0, number)), number)
    assert check(path, ledger.read(), 0) == 3

    ledger.note("added", 4, 4)
    with pytest.raises(AssertionError, match=r"lost: \[4\]"):
        check(path, Ledger(ledger.file).read(), 0)
    ledger.note("forgetting", 4)
    assert check(path, Ledger(ledger.file).read(), 0) == 3

    ledger.note("forgetting", 2)
    ledger.note("forgot", 2)
    with pytest.raises(AssertionError, match=r"forgotten, but there: \[2\]"):
        check(path, Ledger(ledger.file).read(), 0)
    with LatentMemory(path) as memory:
        memory.forget(ids=[2])
    assert check(path, Ledger(ledger.file).read(), 0) == 2

    (path.parent / "copy").write_text("question <0.2>")
    with pytest.raises(AssertionError, match="in the files"):
        check(path, Ledger(ledger.file).read(), 0)
    (path.parent / "copy").unlink()

    ledger.note("rating", 1, 1)
    ledger.note("rated", 1, 1)
    with pytest.raises(AssertionError, match=r"feedback on trace 1 is lost: \[1\]"):
        check(path, Ledger(ledger.file).read(), 0)
    with LatentMemory(path) as memory:
        for piece in (1, 2):
            memory.rate(1, make_feedback(0, 1, piece), namespace=SHELF.namespace)
    with pytest.raises(AssertionError, match=r"feedback on trace 1 is invented: \[2\]"):
        check(path, Ledger(ledger.file).read(), 0)
    ledger.note("rating", 1, 2)
    assert check(path, Ledger(ledger.file).read(), 0) == 2
    with LatentMemory(path) as memory, memory.database.write() as connection:
        connection.execute(text("UPDATE ratings SET reward = -0.125"))
    with pytest.raises(AssertionError, match="the rating of trace 1 is not"):
        check(path, Ledger(ledger.file).read(), 0)
    with LatentMemory(path) as memory:
        memory.rate(1, make_feedback(0, 1, 3), namespace=SHELF.namespace)
    ledger.note("rating", 1, 3)
    assert check(path, Ledger(ledger.file).read(), 0) == 2
    with LatentMemory(path) as memory, memory.database.write() as connection:
        connection.execute(text("DELETE FROM ratings"))
    with pytest.raises(AssertionError, match="but ratings of"):
        check(path, Ledger(ledger.file).read(), 0)
    with LatentMemory(path) as memory:
        memory.forget(ids=[stored.id for stored in memory.stream(RATED)])
        memory.rate(1, make_feedback(0, 1, 4), namespace=SHELF.namespace)
    ledger.note("rating", 1, 4)
    assert check(path, Ledger(ledger.file).read(), 0) == 2

    with LatentMemory(path) as memory:
        memory.add(make_trace(1, 5))
        assert memory.recall(make_trace(1, 5).embedding, shelf=SHELF, k=1)
    with pytest.raises(AssertionError, match="is not number"):
        check(path, Ledger(ledger.file).read(), 0)
