"""The index against brute force, and its file against everything that can happen to a file."""

import json
import logging
import os
import subprocess
import sys
import warnings
from dataclasses import asdict, replace
from hashlib import sha256

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from latent_memory.errors import TraceError
from latent_memory.index.index import IndexSettings, VectorIndex
from latent_memory.index.snapshot import Position, load_snapshot, save_snapshot

FLAT = IndexSettings()
# Lists from 40 vectors on, all of them searched: slower than flat, and as exact.
LISTS = IndexSettings(flat_until=40, members=2, probes=10_000)
FEW_PROBES = IndexSettings(flat_until=40, members=2, probes=2, compared=1)
POSITION = Position(trace=977, deletion=12)


def drawn(count, dimension=24, clusters=12, seed=0):
    """Clustered vectors with a large common part, as a language model's states have."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(clusters, dimension))
    noise = random.normal(size=(count, dimension))
    vectors = 20 + centres[random.integers(clusters, size=count)] + 0.3 * noise
    return vectors.astype(np.float32)


def cosines(vectors, built_from, query, centre_from=16):
    """Centred cosines in double precision, the long way round."""
    vectors, query = vectors.astype(float), query.astype(float)
    if len(built_from) >= centre_from:
        mean = built_from.astype(float).mean(axis=0)
        vectors, query = vectors - mean, query - mean
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
    apart = lengths > 1e-9
    return np.divide(vectors @ query, lengths, out=np.zeros(len(vectors)), where=apart)


def require_best(found, ids, similarities, k):
    """What was found is the best there is: its similarities, its order, and no other id."""
    of = dict(zip(ids, similarities, strict=True))
    assert len(found) == min(k, len(ids))
    assert len({one for one, _ in found}) == len(found)
    assert [score for _, score in found] == pytest.approx([of[one] for one, _ in found], abs=2e-6)
    expected = sorted(similarities, reverse=True)[:k]
    assert [score for _, score in found] == pytest.approx(expected, abs=2e-6)
    assert found == sorted(found, key=lambda pair: (-pair[1], pair[0]))


@pytest.mark.parametrize("given_settings", [FLAT, LISTS], ids=["flat", "lists"])
@pytest.mark.parametrize("count", [1, 2, 15, 16, 40, 41, 500])
def test_search_equals_brute_force(given_settings, count):
    vectors, queries = drawn(count), drawn(20, seed=1)
    ids = np.arange(count) * 7 + 3
    index = VectorIndex.build(ids, vectors, settings=given_settings)
    assert index.layout.flat == (given_settings is FLAT or count <= 40)
    assert index.layout.flat or len(index.layout.centroids) > 10
    assert len(index) == count
    assert index.dimension == 24
    for query in queries:
        for k in (1, 5, count, count + 3):
            best = cosines(vectors, vectors, query)
            require_best(index.search(query, k), ids.tolist(), best.tolist(), k)


def test_few_probes_find_nearly_all_of_clustered_vectors():
    vectors, queries = drawn(4000, dimension=64, clusters=100), drawn(200, 64, 100, seed=0)
    index = VectorIndex.build(np.arange(4000), vectors, settings=FEW_PROBES)
    hits = 0
    for query in queries:
        best = np.argsort(-cosines(vectors, vectors, query), kind="stable")[:10]
        hits += len(set(best.tolist()) & {one for one, _ in index.search(query, 10)})
    assert hits >= 0.9 * 2000


@pytest.mark.parametrize("k", [1, 10, 100, 299, 300, 1000])
def test_short_lists_are_widened_until_there_are_enough(k):
    index = VectorIndex.build(np.arange(300), drawn(300), settings=FEW_PROBES)
    index.remove(np.arange(0, 300, 3))
    found = index.search(drawn(1, seed=5)[0], k)
    assert len(found) == min(k, 200)
    assert all(one % 3 for one, _ in found)


changes = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 12), st.integers(0, 9)),
        st.tuples(st.just("remove"), st.lists(st.integers(0, 120), max_size=15)),
        st.tuples(st.just("search"), st.integers(1, 200), st.integers(0, 9)),
    ),
    min_size=1,
    max_size=20,
)


@pytest.mark.parametrize("given_settings", [FLAT, LISTS], ids=["flat", "lists"])
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(first=st.integers(0, 90), changed=changes)
def test_changes_in_any_order_equal_a_dict(given_settings, first, changed):
    grid = np.random.default_rng(3).integers(-2, 3, size=(10, 30, 5)).astype(np.float32)
    start = grid.reshape(-1, 5)[:first]  # whole numbers: many vectors are the same
    index = VectorIndex.build(np.arange(first), start, settings=given_settings)
    held = dict(enumerate(start))
    for change in [*changed, ("search", 7, 0)]:
        match change:
            case ("add", count, seed):
                ids = [(max(held, default=-1) + 1 + n) if n % 3 else n * 4 for n in range(count)]
                ids = list(dict.fromkeys(ids))
                index.add(np.array(ids, dtype=np.int64), grid[seed][: len(ids)])
                held.update(zip(ids, grid[seed], strict=False))
            case ("remove", ids):
                index.remove(np.array(ids, dtype=np.int64))
                held = {one: vector for one, vector in held.items() if one not in ids}
            case (_, k, seed):
                vectors = np.array(list(held.values()), dtype=np.float32).reshape(-1, 5)
                best = cosines(vectors, start, grid[seed][29])
                require_best(index.search(grid[seed][29], k), list(held), best.tolist(), k)
        assert len(index) == len(held)


def test_the_mean_is_taken_out_only_when_there_are_enough():
    vectors = drawn(40)
    raw = VectorIndex.build(np.arange(15), vectors[:15]).search(vectors[20], 15)
    centred = VectorIndex.build(np.arange(16), vectors[:16]).search(vectors[20], 16)
    assert min(score for _, score in raw) > 0.98  # all alike: the common part decides
    assert min(score for _, score in centred) < -0.2
    assert raw == [
        (one, pytest.approx(score, abs=2e-6))
        for one, score in sorted(
            enumerate(cosines(vectors[:15], vectors[:15], vectors[20])), key=lambda pair: -pair[1]
        )
    ]


@pytest.mark.parametrize("given_settings", [FLAT, LISTS, FEW_PROBES])
def test_ties_go_to_the_lower_id(given_settings):
    vectors = drawn(100)
    vectors[10:70] = vectors[10]
    ids = np.random.default_rng(0).permutation(100)
    index = VectorIndex.build(ids, vectors, settings=given_settings)
    same = sorted(ids[10:70].tolist())
    index.remove(np.array(same[3:20]))  # what is stored is no longer in its first order
    same = same[:3] + same[20:]
    for k in (1, 5, 20, 43):
        assert [one for one, _ in index.search(vectors[10], k)] == same[:k]


@pytest.mark.parametrize("given_settings", [FLAT, LISTS])
def test_identical_vectors_have_no_direction_once_centred(given_settings):
    vectors = np.tile(drawn(1), (50, 1))
    index = VectorIndex.build(np.arange(50)[::-1], vectors, settings=given_settings)
    assert index.search(vectors[0], 4) == [(0, 0.0), (1, 0.0), (2, 0.0), (3, 0.0)]
    assert [score for _, score in index.search(drawn(1, seed=8)[0], 60)] == [0.0] * 50


def test_zero_vectors():
    vectors = np.zeros((3, 4), dtype=np.float32)
    vectors[1, 0] = -2
    index = VectorIndex.build(np.array([5, 6, 7]), vectors)
    assert index.search(np.zeros(4, dtype=np.float32), 2) == [(5, 0.0), (6, 0.0)]
    assert index.search(np.eye(4, dtype=np.float32)[0], 9) == [(5, 0.0), (7, 0.0), (6, -1.0)]


def test_an_empty_index():
    index = VectorIndex.build(np.arange(0), np.zeros((0, 6), dtype=np.float32))
    assert index.search(np.ones(6, dtype=np.float32), 10) == []
    index.remove(np.array([1, 2]))
    index.add(np.array([4]), np.ones((1, 6), dtype=np.float32))
    assert index.search(np.ones(6, dtype=np.float32), 10) == [(4, pytest.approx(1.0))]
    assert index.search(np.ones(6, dtype=np.float32), 0) == []
    index.remove(np.array([4]))
    assert index.search(np.ones(6, dtype=np.float32), 10) == []


def test_similarities_never_leave_their_range():
    vectors = drawn(2000, dimension=129)
    index = VectorIndex.build(np.arange(2000), vectors)
    scores = [score for row in vectors[:300] for _, score in index.search(row, 2000)[:1]]
    assert max(scores) <= 1
    assert min(scores) > 0.99999


@pytest.mark.parametrize("given_settings", [FLAT, LISTS])
def test_outgrown(given_settings):
    vectors = drawn(400)
    index = VectorIndex.build(np.arange(0), vectors[:0], settings=given_settings)
    built = 0
    for count in range(1, 400):
        index.add(np.array([count]), vectors[count : count + 1])
        crossed = count == 41 and given_settings is LISTS
        assert index.outgrown == (count == 16 or count == 2 * built >= 16 or crossed)
        if index.outgrown:
            built, ids = count, np.arange(1, count + 1)
            index = VectorIndex.build(ids, vectors[1 : count + 1], settings=given_settings)
            assert not index.outgrown
    index.remove(np.arange(1, 400 - built // 2))
    assert not index.outgrown
    index.remove(np.arange(390, 400))
    assert index.outgrown


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_numbers_that_are_not_finite_are_refused(value):
    vectors = drawn(30)
    index = VectorIndex.build(np.arange(30), vectors)
    bad = vectors[:3].copy()
    bad[1, 5] = value
    for refused in (
        lambda: index.add(np.array([50, 51, 52]), bad),
        lambda: index.search(bad[1], 3),
        lambda: VectorIndex.build(np.arange(3), bad),
    ):
        with pytest.raises(TraceError, match=r"finite numbers.* got (nan|-?inf|1\.0*\d*e\+30)"):
            refused()
    assert len(index) == 30
    assert index.search(vectors[3], 1)[0][0] == 3


def test_another_dimension_is_refused_naming_both():
    index = VectorIndex.build(np.arange(30), drawn(30))
    for refused in (
        lambda: index.add(np.array([50]), np.ones((1, 25), dtype=np.float32)),
        lambda: index.search(np.ones(25, dtype=np.float32), 3),
    ):
        with pytest.raises(TraceError, match=r"24 numbers, got 25"):
            refused()
    assert len(index) == 30


def test_tiny_and_huge_vectors_keep_their_direction():
    vectors = np.eye(4, dtype=np.float32)
    for size in (1e-15, 1e18):
        index = VectorIndex.build(np.arange(4), vectors * np.float32(size))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert index.search(vectors[2], 1) == [(2, pytest.approx(1.0))]


FORKS = """
import os, sys
import numpy as np
from latent_memory.index.index import VectorIndex, IndexSettings

vectors = np.random.default_rng(0).normal(size=(3000, 24)).astype(np.float32)
for process in ("parent", "child"):
    index = VectorIndex.build(np.arange(3000), vectors, settings=IndexSettings(flat_until=40))
    assert index.search(vectors[5], 1)[0][0] == 5
    if process == "parent" and os.fork():
        sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_a_forked_process_can_build_what_its_parent_built():
    done = subprocess.run(
        [sys.executable, "-c", FORKS],
        env={**os.environ, "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_number_of_threads_is_as_it_was():
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(3)
    try:
        index = VectorIndex.build(np.arange(300), drawn(300), settings=LISTS)
        index.search(drawn(1)[0], 3)
        index.remove(np.array([3]))
        with pytest.raises(TraceError):
            index.add(np.array([3]), np.ones((1, 2), dtype=np.float32))
        assert faiss.omp_get_max_threads() == 3
    finally:
        faiss.omp_set_num_threads(before)


# ------------------------------------------------------------------------------ snapshots

VECTORS = drawn(1000)
QUERIES = drawn(20, seed=2)


def rows(ids):
    """What the database still has: every vector, in an order of its own."""
    return ids[::-1], VECTORS[ids[::-1]]


@pytest.fixture
def index():
    return VectorIndex.build(np.arange(900), VECTORS[:900], settings=LISTS)


@pytest.fixture
def path(tmp_path, index):
    path = tmp_path / "shelf.index"
    save_snapshot(path, index, POSITION, 4, "shelf a")
    return path


def trusted(path, read_vectors=rows):
    loaded = load_snapshot(path, "shelf a", read_vectors)
    assert loaded is not None
    return loaded


def require_untrusted(path, caplog, reason, identity="shelf a", read_vectors=rows):
    caplog.clear()
    with caplog.at_level(logging.WARNING, "latent_memory"):
        assert load_snapshot(path, identity, read_vectors) is None
    [record] = caplog.records
    assert record.name == "latent_memory.index.snapshot"
    assert str(path) in record.message
    assert reason in record.message


def test_a_snapshot_is_the_same_index(path, index, caplog):
    loaded, head = trusted(path)
    assert (head.position, head.generation) == (POSITION, 4)
    assert loaded.layout.settings == LISTS
    assert loaded.layout.built == 900
    assert loaded.outgrown == index.outgrown
    assert len(loaded) == 900
    assert [a.tolist() for a in loaded.assignment()] == [a.tolist() for a in index.assignment()]
    for one in (index, loaded):
        one.add(np.array([900, 901]), VECTORS[900:902])
        one.remove(np.arange(0, 900, 5))
    for query in QUERIES:
        assert loaded.search(query, 30) == index.search(query, 30)
    assert not caplog.records
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_snapshot_holds_no_vector(path, index):
    content = path.read_bytes()
    centred = VECTORS - index.layout.mean
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    for vectors in (VECTORS[:900], centred[:900], unit[:900]):
        assert not any(row[:4].tobytes() in content for row in vectors)
    # Nor does a centroid stand for a single one.
    assert (unit[:900] @ index.layout.centroids.T).max() < 0.9999


def test_what_the_database_lost_is_not_in_the_loaded_index(path):
    loaded, _ = trusted(path, lambda ids: rows(ids[ids % 2 == 0]))
    assert len(loaded) == 450
    assert all(one % 2 == 0 for query in QUERIES for one, _ in loaded.search(query, 450))
    nothing, _ = trusted(path, lambda ids: rows(ids[:0]))
    assert nothing.search(QUERIES[0], 3) == []
    assert nothing.outgrown


def test_a_missing_file_is_nothing_unusual(tmp_path, caplog):
    assert load_snapshot(tmp_path / "none", "shelf a", rows) is None
    assert load_snapshot(tmp_path / "no folder" / "none", "shelf a", rows) is None
    assert not caplog.records


def test_a_flat_index_has_no_file_and_takes_a_stale_one_away(path):
    flat = VectorIndex.build(np.arange(30), VECTORS[:30])
    save_snapshot(path, flat, POSITION, 5, "shelf a")
    assert not path.exists()
    save_snapshot(path, flat, POSITION, 5, "shelf a")


def test_a_file_cut_short_is_not_trusted(path, caplog):
    content = path.read_bytes()
    for quarter in (0, 1, 2, 3):
        path.write_bytes(content[: len(content) * quarter // 4])
        require_untrusted(path, caplog, "not a whole index file")
    for length in (1, 7, 8, 9, 44, 200, len(content) - 1):
        path.write_bytes(content[:length])
        require_untrusted(path, caplog, "not a whole index file")
    path.write_bytes(content + b"\0")
    require_untrusted(path, caplog, "not a whole index file")


def test_a_flipped_bit_anywhere_is_noticed(path, caplog):
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    places = [*range(header), *range(header, len(content), 1999), len(content) - 1]
    for place in places:
        flipped = bytearray(content)
        flipped[place] ^= 1 << (place % 8)
        path.write_bytes(flipped)
        require_untrusted(path, caplog, "")


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"not an index file, " * 50])
def test_a_file_of_something_else_is_not_trusted(path, caplog, content):
    path.write_bytes(content)
    require_untrusted(path, caplog, "not a whole index file")


def test_a_folder_in_its_place(tmp_path, index, caplog):
    require_untrusted(tmp_path, caplog, "directory")
    folder = tmp_path / "shelf.index"
    folder.mkdir()
    with pytest.raises(OSError, match="directory"):
        save_snapshot(folder, index, POSITION, 1, "shelf a")
    assert [file.name for file in tmp_path.iterdir()] == ["shelf.index"]


def test_a_file_of_the_format_before_is_not_trusted(path, caplog):
    header = b'{"version": 1}'
    path.write_bytes(
        b"latentix" + len(header).to_bytes(4, "little") + sha256(header).digest() + header
    )
    require_untrusted(path, caplog, "not a whole index file")


def test_a_file_of_another_shelf_is_not_trusted(path, caplog):
    require_untrusted(path, caplog, "it belongs to 'shelf a', not to 'shelf b'", "shelf b")


def test_a_file_of_another_dimension_is_not_trusted(path, caplog):
    wider = np.hstack([VECTORS, VECTORS])
    require_untrusted(
        path, caplog, "24 numbers, got 48", read_vectors=lambda ids: (ids, wider[ids])
    )


def test_rows_that_were_not_asked_for_are_not_trusted(path, caplog):
    require_untrusted(
        path, caplog, "not asked for", read_vectors=lambda ids: (ids + 1, VECTORS[ids])
    )


def digest(head, arrays):
    """The hash of head and arrays, written down once more."""
    whole = sha256(head.encode())
    for name in ("mean", "centroids", "ids", "lists"):
        array = arrays[name]
        whole.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return whole.hexdigest()


def rewritten(content, change):
    """The same file with a changed head or arrays, whole in itself."""
    arrays = load(content)
    length = int.from_bytes(content[:8], "little")
    head = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["head"])
    change(head, arrays)
    text = json.dumps(head, separators=(",", ":"))
    return save(arrays, {"head": text, "sha256": digest(text, arrays)})


def test_the_hash_is_over_head_and_arrays(path):
    path.write_bytes(rewritten(path.read_bytes(), lambda head, arrays: None))
    assert trusted(path)[1].generation == 4


def shorter(name):
    return lambda head, arrays: arrays.update({name: arrays[name][:-1]})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda head, arrays: head.update(version=3), "its format is 3"),
        (lambda head, arrays: head.pop("version"), "another program"),
        (lambda head, arrays: head.pop("built"), "another program"),
        (lambda head, arrays: head["settings"].update(unknown=1), "another program"),
        (lambda head, arrays: head["position"].pop("trace"), "another program"),
        (lambda head, arrays: head.update(built="900"), "another program"),
        (lambda head, arrays: head.update(vectors="many"), "another program"),
        (lambda head, arrays: head.update(vectors=10**9), "do not fit each other"),
        (shorter("mean"), "do not fit each other"),
        (shorter("ids"), "do not fit each other"),
        (shorter("lists"), "do not fit each other"),
        (
            lambda head, arrays: arrays.update(centroids=arrays["centroids"].reshape(-1)),
            "do not fit each other",
        ),
        (
            lambda head, arrays: arrays.update(ids=arrays["ids"].astype(np.float64)),
            "do not fit each other",
        ),
        (lambda head, arrays: arrays.update(ids=-arrays["ids"]), "ids below 0"),
        (shorter("centroids"), "lists that it does not have"),
        (lambda head, arrays: arrays.update(lists=-arrays["lists"]), "lists that it does not have"),
    ],
)
def test_a_whole_file_of_another_program_is_not_trusted(path, caplog, change, reason):
    path.write_bytes(rewritten(path.read_bytes(), change))
    require_untrusted(path, caplog, reason)


def test_an_older_file_says_how_old_it_is(path, index):
    older = path.read_bytes()
    save_snapshot(path, index, replace(POSITION, trace=2000), 5, "shelf a")
    newer = trusted(path)[1]
    assert (newer.position, newer.generation) == (Position(trace=2000, deletion=12), 5)
    path.write_bytes(older)
    assert (trusted(path)[1].position, trusted(path)[1].generation) == (POSITION, 4)


def test_the_databases_own_errors_go_through(path):
    def broken(ids):
        raise OSError("disk I/O error")

    with pytest.raises(OSError, match="disk I/O"):
        load_snapshot(path, "shelf a", broken)


def test_a_write_that_fails_leaves_the_old_file(path, index, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_snapshot(path, index, POSITION, 9, "shelf a")
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_what_killed_writers_left_is_swept(path, index):
    old, fresh = path.with_name("shelf.index.aaaa.tmp"), path.with_name("shelf.index.bbbb.tmp")
    for leftover in (old, fresh):
        leftover.write_bytes(b"half")
    os.utime(old, (0, 0))
    save_snapshot(path, index, POSITION, 5, "shelf a")
    assert not old.exists()
    assert fresh.exists()


def test_settings_travel_in_the_file(path):
    loaded = trusted(path)[0]
    assert asdict(loaded.layout.settings) == asdict(LISTS)
