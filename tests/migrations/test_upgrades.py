"""Memories and priors as earlier programs wrote them, opened by today's; see upgrades/make.py."""

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest

import latent_migrations
from latent_memory import LatentMemory, SchemaError, migrate
from latent_memory.priors.nights import list_nights
from latent_memory.priors.priors import list_priors
from tests.migrations.upgrades.make import COUNT, FILE, FORGOTTEN, SHELF, call_of, made
from tests.support.night_world import usable_prior

FOLDER = Path(__file__).parent / "upgrades"
REVISIONS = list(latent_migrations.revisions())


@pytest.fixture(params=REVISIONS)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """A copy of what the program of a revision wrote."""
    shutil.copytree(FOLDER / request.param, tmp_path / "memory")
    packed, path = (tmp_path / "memory" / name for name in (f"{FILE}.gz", FILE))
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    path.chmod(0o600)
    packed.unlink()
    return request.param, path


def opened(revision: str, path: Path) -> LatentMemory:
    done = migrate(path)
    assert (done.current, done.head) == (revision, latent_migrations.head())
    return LatentMemory(path)


def there() -> list[int]:
    return [number for number in range(1, COUNT + 1) if number not in FORGOTTEN]


def test_every_revision_left_a_memory() -> None:
    assert sorted(path.name for path in FOLDER.glob("[0-9]*")) == REVISIONS


def test_an_older_memory_is_left_alone_until_it_is_migrated(written: tuple[str, Path]) -> None:
    revision, path = written
    before = path.read_bytes()
    if revision == latent_migrations.head():
        LatentMemory(path).close()
        return
    with pytest.raises(SchemaError, match="latent-agent migrate"):
        LatentMemory(path)
    assert path.read_bytes() == before


def test_every_trace_is_as_it_was(written: tuple[str, Path]) -> None:
    with opened(*written) as memory:
        assert memory.verify() == []
        assert sorted(info.id for info in memory.list(limit=100)) == there()
        for number in there():
            stored, trace = memory.get(number), made(number)
            assert stored is not None
            got = stored.trace
            assert (got.shelf, got.query, got.answer) == (trace.shelf, trace.query, trace.answer)
            for name in ("tokens", "score", "rewards", "steps", "neighbours", "prior"):
                assert getattr(got, name) == getattr(trace, name)
            kept = call_of(number) if written[0] >= "0006" else dict.fromkeys(call_of(number))
            assert {name: getattr(got, name) for name in kept} == kept
            np.testing.assert_array_equal(got.embedding, trace.embedding)
            np.testing.assert_allclose(got.optimised, trace.optimised, atol=5e-3)


def test_it_recalls_learns_and_forgets_as_a_new_one_does(written: tuple[str, Path]) -> None:
    with opened(*written) as memory:
        (best, *_) = memory.recall(made(5).embedding, shelf=SHELF, k=3)
        assert best.stored.id == 5
        assert memory.add(made(5)) == COUNT + 1
        assert memory.forget(ids=[5, COUNT + 1]) == 2
        assert memory.verify() == []


def test_priors_stay_in_force(written: tuple[str, Path]) -> None:
    revision, path = written
    with opened(revision, path) as memory:
        prior = usable_prior(memory, SHELF)
        versions = [info.version for info in list_priors(memory.database)]
        nights = [night.result.verdict for night in list_nights(memory.database) if night.result]
        if revision == "0001":
            assert (prior, versions, nights) == (None, [], [])
            return
        assert (versions, nights) == ([1], ["published"])
        assert prior is not None
        assert (prior.version, prior.network.shape.positions) == ("1", 3)
        assert prior.network.shape.hidden == 4
