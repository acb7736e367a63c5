"""``python -m dev.bench memory``: how fast and how exact a memory of so many traces is, here."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from dev.bench.made_up import SHELF, Size, make_embeddings, make_traces
from latent_agent.cli.options import Json
from latent_agent.errors import SettingError
from latent_memory import LatentMemory, Trace
from latent_memory.index.index import Ids
from latent_memory.trace import Matrix

_BATCH = 500  # traces to a transaction in bulk
_ADDS = 500  # single adds
_FORGETS = 5
_MOVED = 2000  # traces exported and imported
_K = 10
_OTHERS = replace(SHELF, namespace="others")

Given = ParamSpec("Given")
Done = TypeVar("Done")
Each = TypeVar("Each")


def memory(
    traces: Annotated[int, typer.Option(help="How many traces.", min=_K)] = 100_000,
    dimension: Annotated[int, typer.Option(help="Width of states (d).", min=2)] = 896,
    latents: Annotated[int, typer.Option(help="Latents of a trace (N).", min=1)] = 20,
    queries: Annotated[int, typer.Option(help="How many recalls.", min=1)] = 1000,
    uniform: Annotated[
        bool, typer.Option("--uniform", help="Embeddings without clusters: the hard case.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the traces.", min=0)] = 0,
    folder: Annotated[
        Path | None, typer.Option(help="Where to write; by default the system's temporary folder.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(help="URL of an empty memory on a server: that one is measured.")
    ] = None,
    share: Annotated[
        float, typer.Option(help="Share of the traces on the shelf that is asked.", min=0, max=1)
    ] = 1.0,
    as_json: Json = False,
) -> None:
    """Fill a memory with made-up traces, measure it, and delete it.

    The embeddings are clustered, as questions are: 1,000 clusters of different sizes around a
    large common part. Every recall is made thrice: at first its traces may come from the disk, then
    from the file cache; last, only the processor's time is counted, which other programs that
    run meanwhile touch little.
    """
    size = Size(traces=traces, dimension=dimension, latents=latents, queries=queries, seed=seed)
    place = folder or Path(tempfile.gettempdir())
    _require_room(place, size)
    with tempfile.TemporaryDirectory(prefix="latent-agent-bench-", dir=place) as made:
        path = Path(made) / "memory.sqlite3"
        figures = measure(at or path, size, uniform=uniform, share=share)
        figures["imports_per_second"] = _import_rate(path.parent, size)
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        _show(figures)


def measure(
    place: Path | str, size: Size, *, uniform: bool = False, share: float = 1.0
) -> dict[str, Any]:
    """Fill a new memory and return its figures; a share of its traces is on the shelf asked."""
    single = min(_ADDS, size.traces)
    stored, asked = make_embeddings(size, uniform=uniform)
    here = np.arange(size.traces) % 100 < 100 * share
    made = (
        trace if ours else replace(trace, shelf=_OTHERS)
        for trace, ours in zip(make_traces(size, stored), here, strict=True)
    )
    with LatentMemory(place) as filled:
        bulk = [_timed(filled.add_many, batch)[0] for batch in _batches(made, size, single)]
        _settle()
        adds = [_timed(filled.add, trace)[0] for trace in made]
        build, _ = _timed(_ids, filled, asked[0])
        # No progress bar here: it redraws itself from a thread of its own, and would be measured.
        first = [_timed(_ids, filled, query) for query in asked]
        again = [_timed(_ids, filled, query) for query in asked]
        alone = [_processor(_ids, filled, query) for query in asked]
    opening, opened = _timed(_opened, place, asked[0])
    with opened:
        sizes = _sizes(opened)
        forgets = [_timed(opened.forget, ids=[id_])[0] for id_ in range(1, 1 + _FORGETS)]
    return {
        "traces": size.traces,
        "dimension": size.dimension,
        "latents": size.latents,
        "clustered": not uniform,
        "bulk_adds_per_second": _rate(size.traces - single, bulk),
        "durable_adds_per_second": _rate(single, adds),
        "share": share,
        "index_build_seconds": build,
        "first_recall_ms": _shares([seconds for seconds, _ in first]),
        "recall_ms": _shares([seconds for seconds, _ in again]),
        "recall_processor_ms": _shares(alone),
        "recall_at_10": _exactness(
            [ids for _, ids in again], (np.flatnonzero(here) + 1)[_best(stored[here], asked)]
        ),
        "opening_seconds": opening,
        "forget_one_seconds": max(forgets),
        "bytes_per_trace": sum(sizes.values()) / size.traces,
        "plain_bytes_per_trace": size.plain,
        "files": sizes,
    }


def _require_room(folder: Path, size: Size) -> None:
    if not folder.is_dir():
        raise SettingError(f"--folder must be a folder, got {str(folder)!r}; make it first")
    needed = int(1.2 * size.traces * (size.plain + 4096)) + (1 << 30)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SettingError(
            f"{size.traces} traces need {needed / 1e9:.1f} GB, but {str(folder)!r} has "
            f"{free / 1e9:.1f} GB free; give fewer --traces, or another --folder"
        )


def _batches(made: Iterator[Trace], size: Size, kept: int) -> Iterator[Sequence[Trace]]:
    """Yield all traces but the last ``kept`` in batches."""
    count = size.traces - kept
    for start in _watched(range(0, count, _BATCH), "adding"):
        yield list(islice(made, min(_BATCH, count - start)))


def _watched(work: Iterable[Each], doing: str) -> Iterable[Each]:
    return track(work, doing, console=Console(stderr=True))


def _timed(
    work: Callable[Given, Done], *args: Given.args, **kwargs: Given.kwargs
) -> tuple[float, Done]:
    began = time.perf_counter()
    done = work(*args, **kwargs)
    return time.perf_counter() - began, done


def _processor(work: Callable[Given, Any], *args: Given.args, **kwargs: Given.kwargs) -> float:
    """Return the seconds that work takes of the processor: what others take doesn't count."""
    began = time.thread_time()
    work(*args, **kwargs)
    return time.thread_time() - began


def _ids(memory: LatentMemory, query: Any) -> list[int]:
    return [found.stored.id for found in memory.recall(query, shelf=SHELF, k=_K)]


def _opened(place: Path | str, query: Any) -> LatentMemory:
    """Open a memory and recall once, which reads the index."""
    memory = LatentMemory(place)
    _ids(memory, query)
    return memory


def _import_rate(folder: Path, size: Size) -> float:
    """Return how many traces a second an import of an export takes."""
    count = min(_MOVED, size.traces)
    some = replace(size, traces=count)
    with (
        LatentMemory(folder / "from.sqlite3") as source,
        LatentMemory(folder / "to.sqlite3") as target,
    ):
        source.add_many(make_traces(some, make_embeddings(some, uniform=False)[0]))
        source.export(folder / "export")
        _settle()
        return _rate(count, [_timed(target.import_, folder / "export")[0]])


def _settle() -> None:
    """Let the disk finish what was written before, so that it is not counted again."""
    if hasattr(os, "sync"):
        os.sync()


def _sizes(memory: LatentMemory) -> dict[str, int]:
    """Return the bytes of a memory's files, or of its tables on a server."""
    if isinstance(memory.place, str):
        stats = memory.stats()
        return {"tables": stats.database_bytes, "vectors and graphs": stats.index_bytes}
    files = [file for file in sorted(memory.path.parent.rglob("*")) if file.is_file()]
    return {file.name: file.stat().st_size for file in files}


def _shares(seconds: Sequence[float]) -> dict[str, float]:
    """Return percentiles in milliseconds."""
    return {f"p{share}": 1000 * float(np.percentile(seconds, share)) for share in (50, 90, 99)}


def _rate(count: int, seconds: Sequence[float]) -> float:
    return count / sum(seconds) if count else 0.0


def _best(stored: Matrix, asked: Matrix) -> Ids:
    """Return the places of the 10 nearest to each query by centred cosine, the long way."""
    mean = stored.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = stored - mean
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    best = [
        np.argpartition(-(centred @ (query - mean)), _K - 1)[:_K]
        for query in _watched(asked, "comparing with all")
    ]
    return np.array(best)


def _exactness(found: Sequence[Sequence[int]], best: Ids) -> float:
    hits = (len(set(ids) & set(row.tolist())) for ids, row in zip(found, best, strict=True))
    return sum(hits) / best.size


def _show(figures: dict[str, Any]) -> None:
    table = Table(show_header=False, title=f"{figures['traces']:,} traces")
    table.add_column()
    table.add_column(justify="right")
    files = figures["files"]
    for name, text in (
        (f"adds in bulk, {_BATCH} to a transaction", f"{figures['bulk_adds_per_second']:,.0f} / s"),
        ("durable adds, one to a transaction", f"{figures['durable_adds_per_second']:,.0f} / s"),
        ("import of an export", f"{figures['imports_per_second']:,.0f} / s"),
        ("first recall, which builds the index", f"{figures['index_build_seconds']:.2f} s"),
        (f"recall of {_K}, first time: p50, p90, p99", _text(figures["first_recall_ms"])),
        (f"recall of {_K}, again: p50, p90, p99", _text(figures["recall_ms"])),
        ("of that on the processor: p50, p90, p99", _text(figures["recall_processor_ms"])),
        (f"recall@{_K} against comparing with all", f"{figures['recall_at_10']:.4f}"),
        ("opening and first recall", f"{figures['opening_seconds']:.2f} s"),
        ("forgetting one trace, the slowest", f"{figures['forget_one_seconds']:.2f} s"),
        ("bytes a trace, all files", f"{figures['bytes_per_trace']:,.0f}"),
        ("bytes a trace, plain float16 arrays", f"{figures['plain_bytes_per_trace']:,.0f}"),
        *((name, f"{count / 1e6:,.1f} MB") for name, count in files.items()),
    ):
        table.add_row(name, text)
    Console().print(table)


def _text(shares: dict[str, float]) -> str:
    return ", ".join(f"{value:.2f}" for value in shares.values()) + " ms"
