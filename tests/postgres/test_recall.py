"""Recall by pgvector: exact where it is scanned, nearly so by a graph, and by FAISS where wide."""

import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import text

from latent_memory import LatentMemory, StorageError, TraceError
from latent_memory.postgres.vectors import WIDEST
from tests.support.memories import SHELF, cosines, in_namespace, recalled, trace, vector
from tests.support.servers import Server, fresh_name

GRAPHS = "SELECT count(*) FROM pg_indexes WHERE schemaname = current_schema() AND indexname LIKE 'graph\\_%'"  # noqa: E501


def best_of(
    vectors: NDArray[np.float32], query: NDArray[np.float32], mean: NDArray[np.float32], k: int
) -> list[int]:
    return [int(at) for at in np.argsort(-cosines(vectors - mean, query - mean))[:k]]


def graphs(memory: LatentMemory) -> int:
    """Count the graphs once those are built that were begun."""
    memory.database.close()
    with memory.database.read() as connection:
        return connection.scalar(text(GRAPHS)) or 0


def test_vectors_follow_the_centre_as_a_shelf_grows(memory: LatentMemory) -> None:
    """All of them lie far out in one direction, as a language model's states do."""
    far = np.full(16, 50, np.float32)
    vectors = np.stack([vector(seed) + far for seed in range(70)])
    for at, one in enumerate(vectors):
        memory.add(trace(at, embedding=one))
        if at in (14, 15, 40, 69):
            built = {14: 0, 15: 16, 40: 40, 69: 63}[at]
            mean = vectors[:built].mean(axis=0) if built else np.zeros(16, np.float32)
            query = vector(1000 + at) + far
            found = memory.recall(query, shelf=SHELF, k=5)
            places = [one.stored.id - 1 for one in found]
            assert places == best_of(vectors[: at + 1], query, mean, 5)
            expected = cosines(vectors[places] - mean, query - mean)
            np.testing.assert_allclose([one.similarity for one in found], expected, atol=1e-5)
    assert memory.verify() == []


def test_a_rebuild_centres_by_all_there_are(memory: LatentMemory) -> None:
    vectors = np.stack([vector(seed) + 50 for seed in range(25)])
    for at, one in enumerate(vectors):
        memory.add(trace(at, embedding=one))
    assert memory.rebuild() == 25
    (found,) = memory.recall(vectors[7], shelf=SHELF, k=1)
    query, mean = vector(3000) + 50, vectors.mean(axis=0)
    assert found.stored.id == 8
    ids = [one - 1 for one in recalled(memory, query, k=10)]
    assert ids == best_of(vectors, query, mean, 10)


def test_a_vector_that_is_lost_is_noticed_and_comes_back(memory: LatentMemory) -> None:
    memory.add_many(trace(seed) for seed in range(20))
    with memory.database.write() as connection:
        connection.execute(text("DELETE FROM vectors WHERE trace = 4"))
    (problem,) = memory.verify()
    assert (problem.kind, "1 are missing" in problem.text) == ("index", True)
    assert memory.rebuild() == 20
    assert memory.verify() == []


def test_a_new_process_looks_for_new_traces_alone(memory: LatentMemory) -> None:
    memory.add_many(trace(seed) for seed in range(20))
    with memory.database.write() as connection:
        connection.execute(text("DELETE FROM vectors WHERE trace = 4"))
    with LatentMemory(memory.database.location) as other:
        assert other.add(trace(20)) == 21
        assert recalled(other, vector(20), k=1) == [21]
    (problem,) = memory.verify()
    assert "1 are missing" in problem.text


@pytest.mark.parametrize("damage", ["''", "'\\x00'", f"'\\x{'00' * 60}0000c07f'"])
def test_a_damaged_embedding_keeps_nobody_from_writing(memory: LatentMemory, damage: str) -> None:
    memory.add_many(trace(seed) for seed in range(20))
    with memory.database.write() as connection:
        connection.exec_driver_sql(f"UPDATE embeddings SET vector = {damage} WHERE trace = 4")
        connection.exec_driver_sql("DELETE FROM vectors WHERE trace = 4")
    with LatentMemory(memory.database.location) as other:  # which has seen nothing yet
        assert other.add(trace(20)) == 21
        assert [problem.trace for problem in other.verify()] == [4]
        assert other.rebuild() == 20
        assert other.forget(ids=[4]) == 1
        assert other.verify() == []


def test_a_large_shelf_gets_a_graph_of_its_own(
    memory: LatentMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("vectors", "graph"):
        monkeypatch.setattr(f"latent_memory.postgres.{module}.SCANNED", 600)
    vectors = np.stack([vector(seed, 32) for seed in range(700)])
    few = in_namespace("few")
    memory.add_many(trace(at, embedding=one) for at, one in enumerate(vectors[:599]))
    memory.add_many(trace(at, embedding=vector(at, 32), shelf=few) for at in range(50))
    assert graphs(memory) == 0
    memory.add_many(trace(600 + at, embedding=one) for at, one in enumerate(vectors[599:]))
    assert graphs(memory) == 1
    ids = [info.id for info in memory.list(shelf=SHELF, limit=1000)][::-1]
    mean = vectors[:599].mean(axis=0)
    hits = 0
    for seed in range(40):
        query = vector(9000 + seed, 32)
        best = {ids[at] for at in best_of(vectors, query, mean, 10)}
        hits += len(best & set(recalled(memory, query, k=10)))
    assert hits >= 0.98 * 400
    with memory.database.read() as connection:
        connection.execute(text("SET LOCAL enable_sort = off"))
        plan = connection.execute(
            text(
                "EXPLAIN SELECT trace FROM vectors WHERE shelf = 1 ORDER BY unit::halfvec(32) <#> "
                f"'{vectors[0].tolist()}'::halfvec(32) LIMIT 26"
            )
        )
        assert "graph_1" in "\n".join(row[0] for row in plan)
    new = memory.add(trace(5, embedding=vector(77_000, 32)))
    assert recalled(memory, vector(77_000, 32), k=1) == [new]
    assert memory.rebuild() == 751
    assert graphs(memory) == 1
    assert recalled(memory, vector(77_000, 32), k=1) == [new]
    memory.forget(namespace="default")
    memory.compact()
    assert graphs(memory) == 0
    assert len(recalled(memory, vector(1, 32), few, k=9)) == 9


def test_a_graph_that_a_killed_process_left_half_built_is_built_anew(
    memory: LatentMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("vectors", "graph"):
        monkeypatch.setattr(f"latent_memory.postgres.{module}.SCANNED", 300)
    memory.add_many(trace(seed) for seed in range(299))
    with memory.database.write() as connection:  # as an interrupted CREATE INDEX leaves it
        connection.execute(
            text(
                "CREATE INDEX graph_1 ON vectors USING hnsw ((unit::halfvec(16)) halfvec_ip_ops) "
                "WHERE shelf = 1"
            )
        )
        broken = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass('graph_1')"
        connection.execute(text(broken))
    assert memory.verify() == []  # nobody searches it, and another process may be building it
    memory.add_many(trace(seed) for seed in range(300, 310))
    assert graphs(memory) == 1
    whole = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('graph_1')"
    with memory.database.read() as connection:
        assert connection.scalar(text(whole)) is True
        assert connection.scalar(text("SELECT graph FROM centres")) is True
    assert len(recalled(memory, vector(7), k=5)) == 5


def test_no_graph_of_another_schema_on_the_path_is_taken_for_ours(
    server: Server, memory: LatentMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("vectors", "graph"):
        monkeypatch.setattr(f"latent_memory.postgres.{module}.SCANNED", 300)
    memory.add_many(trace(seed) for seed in range(310))
    assert graphs(memory) == 1
    theirs, name = str(memory.database.location.query["options"]), fresh_name()  # pyright: ignore
    server.schema(name)
    near = server.url.update_query_dict({"options": theirs.replace("path=", f"path={name},")})
    with LatentMemory(near) as other:
        other.add(trace(1))
        other.rebuild()
        other.compact()
        assert graphs(memory) == 1
        other.add_many(trace(seed) for seed in range(310))
        assert (graphs(memory), graphs(other)) == (1, 1)
    server.drop(name)


def test_a_compaction_leaves_a_graph_that_is_being_built(
    memory: LatentMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    from latent_memory.postgres import database

    def draw(*given: Any) -> bool:
        whole = draw_graph(*given)
        memory.compact()  # before it is noted
        return whole

    draw_graph = database.draw_graph
    for module in ("vectors", "graph"):
        monkeypatch.setattr(f"latent_memory.postgres.{module}.SCANNED", 100)
    monkeypatch.setattr(database, "draw_graph", draw)
    memory.add_many(trace(seed) for seed in range(120))
    memory.add(trace(120))
    assert graphs(memory) == 1


def test_an_add_waits_for_no_graph(memory: LatentMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("latent_memory.postgres.vectors.SCANNED", 100)
    monkeypatch.setattr("latent_memory.postgres.graph.SCANNED", 100)
    with memory.database.read():  # an older snapshot, for which the graph waits
        began = time.monotonic()
        memory.add_many(trace(seed) for seed in range(120))
        assert memory.add(trace(120), within=2) == 121
        assert time.monotonic() - began < 10
    assert graphs(memory) == 1


def test_an_index_that_is_not_whole_is_noticed(memory: LatentMemory) -> None:
    with memory.database.write() as connection:
        connection.execute(
            text(
                "UPDATE pg_index SET indisvalid = false "
                "WHERE indexrelid = to_regclass('traces_by_shelf')"
            )
        )
    (problem,) = memory.verify()
    assert (problem.kind, problem.text.split(";")[0]) == (
        "database",
        "index traces_by_shelf is not valid",
    )


def test_a_graph_that_cannot_be_built_costs_no_trace(
    memory: LatentMemory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise StorageError("no space is left")

    for module in ("vectors", "graph"):
        monkeypatch.setattr(f"latent_memory.postgres.{module}.SCANNED", 100)
    monkeypatch.setattr("latent_memory.postgres.database.draw_graph", refuse)
    memory.add_many(trace(seed) for seed in range(120))
    assert graphs(memory) == 0
    assert "no graph could be built: no space is left" in caplog.text
    caplog.clear()
    assert memory.add(trace(120)) == 121  # not tried again at each of them
    assert graphs(memory) == 0
    assert caplog.text == ""
    assert recalled(memory, vector(120), k=1) == [121]


def test_more_than_a_graph_gives_is_scanned(
    memory: LatentMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("vectors", "graph"):
        monkeypatch.setattr(f"latent_memory.postgres.{module}.SCANNED", 300)
    memory.add_many(trace(seed) for seed in range(400))
    memory.add(trace(400))
    assert graphs(memory) == 1
    assert len(set(recalled(memory, vector(7), k=350))) == 350


@pytest.mark.parametrize("width", [1, 2000, 2001, WIDEST, WIDEST + 1])
def test_embeddings_of_every_width(memory: LatentMemory, width: int) -> None:
    ids = memory.add_many(trace(seed, embedding=vector(seed, width)) for seed in range(30))
    mean = np.stack([vector(seed, width) for seed in range(30)]).mean(axis=0)
    if width > 1:
        assert recalled(memory, vector(7, width), k=1) == [ids[7]]
        near = vector(11, width) * 0.9 + mean * 0.1
        (found,) = memory.recall(near, shelf=SHELF, k=1)
        assert (found.stored.id, round(found.similarity, 4)) == (ids[11], 1)
    with pytest.raises(TraceError, match=f"{width} on this one, got {width + 1}"):
        memory.recall(vector(1, width + 1), shelf=SHELF)
    assert memory.verify() == []


def test_a_copied_memory_recalls_by_the_same_ids(server: Server, memory: LatentMemory) -> None:
    from latent_memory.transfer.copying import copy

    memory.add_many(trace(seed) for seed in range(40))
    memory.forget(ids=[40])
    name = fresh_name()
    with LatentMemory(server.schema(name)) as other:
        assert copy(memory.database, other.database) == 39
        assert memory.rebuild() == other.rebuild() == 39  # centred by the same traces
        assert recalled(other, vector(3)) == recalled(memory, vector(3))
        assert other.add(trace(50)) == memory.add(trace(50)) == 41
    server.drop(name)
