"""What forgetting leaves in the server's files, as docs/how-to/postgres.md says: by their bytes."""

from collections import Counter

from latent_memory import LatentMemory
from tests.support.memories import contents, trace
from tests.support.servers import Server

SECRET = b"marmalade"


def found(server: Server) -> Counter[str]:
    """How often the secret is in the server's files, by its folders."""
    server.run("CHECKPOINT")
    counts: Counter[str] = Counter()
    for file in server.folder.rglob("*"):
        if file.is_file():
            counts[file.relative_to(server.folder).parts[0]] += file.read_bytes().count(SECRET)
    return +counts


def test_what_is_forgotten_leaves_the_tables_but_not_the_log(
    server: Server, memory: LatentMemory
) -> None:
    memory.add_many(trace(seed, query=f"{SECRET.decode()} {seed}") for seed in range(20))
    kept = memory.add_many(trace(seed) for seed in range(100, 120))
    with memory.database.write() as connection:
        connection.exec_driver_sql("ANALYZE")  # as the server does by itself: no sample is kept
    assert found(server)["base"] == 20
    assert memory.forget(ids=range(1, 21)) == 20
    assert SECRET not in contents(memory)  # for whoever uses the database
    memory.compact()
    left = found(server)
    assert left["base"] == 0
    assert set(left) <= {"pg_wal"}  # the server's own, and said in the docs
    assert [info.id for info in memory.list(limit=100)] == kept[::-1]
    assert memory.verify() == []
