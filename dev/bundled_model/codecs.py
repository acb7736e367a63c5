"""How to pack latents, size against outcome: ``python -m dev.bundled_model.codecs``.

Answers training questions, keeps what was learnt as it was, and then warm-starts validation
questions from it as each codec would have stored it. The embeddings, and so the neighbours, are
the same for all of them.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.progress import track

from latent_agent.call.agent import LatentAgent
from latent_agent.call.call import Call
from latent_agent.model.conversation import Turn
from latent_agent.model.engine import Engine
from latent_agent.model.prompt import encode_chat
from latent_agent.model.registry import open_model
from latent_agent.model.sampling import GREEDY
from latent_agent.recall.memory_adapter import TraceMemory
from latent_agent.reward import ExactMatch
from latent_agent.search.types import Trial
from latent_agent.settings import settings_for
from latent_agent.teaching.corpus import questions
from latent_agent.teaching.world import Question, is_right
from latent_memory import Awaited, LatentMemory, Neighbour, Shelf, Trace
from latent_memory.codec import decode_latents, encode_latents
from latent_memory.trace import Matrix, Vector

Codec = Callable[[Matrix, Matrix], tuple[int, Matrix, Matrix]]  # gives bytes, and both as read


def plain(base: Matrix, optimised: Matrix) -> tuple[int, Matrix, Matrix]:
    """Both in float32, as they are."""
    return base.nbytes + optimised.nbytes, base, optimised


def halves(base: Matrix, optimised: Matrix) -> tuple[int, Matrix, Matrix]:
    """Both in float16."""
    small = [latents.astype(np.float16) for latents in (base, optimised)]
    read = [latents.astype(np.float32) for latents in small]
    return sum(latents.nbytes for latents in small), read[0], read[1]


def stored(base: Matrix, optimised: Matrix) -> tuple[int, Matrix, Matrix]:
    """What the memory does: the base in float16, the difference in int8, a checksum."""
    packed = encode_latents(base, optimised)
    return len(packed), *decode_latents(packed)


CODECS: dict[str, Codec] = {
    "float32 + float32": plain,
    "float16 + float16": halves,
    "float16 + int8 difference": stored,
}


class Exact(LatentMemory):
    """A memory that keeps its traces exactly, beside, and recalls them through a codec."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.codec: Codec = plain
        self.exact: dict[int, Trace] = {}

    def add(
        self, trace: Trace, *, within: float | None = None, awaited: Awaited | None = None
    ) -> int:
        """Store a trace, and keep it as it is."""
        id_ = super().add(trace, within=within, awaited=awaited)
        self.exact[id_] = trace
        return id_

    def recall(self, embedding: Vector, *, shelf: Shelf, k: int = 5) -> list[Neighbour]:
        """Recall as ever, with the exact latents through the codec."""
        return [self._packed(found) for found in super().recall(embedding, shelf=shelf, k=k)]

    def _packed(self, found: Neighbour) -> Neighbour:
        trace = self.exact[found.stored.id]
        _, base, optimised = self.codec(trace.base, trace.optimised)
        trace = replace(trace, base=base, optimised=optimised)
        return replace(found, stored=replace(found.stored, trace=trace))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a codec came to: bytes a trace and shares."""

    size: float
    other_tokens: float
    moved: float
    right: float


class Bench:
    """The bundled model and a memory that it fills and recalls from."""

    def __init__(self, memory: Exact) -> None:
        self._memory, self._model, self._settings = memory, open_model("bundled"), settings_for()

    def fill(self, asked: Sequence[Question]) -> None:
        """Answer questions and keep what was learnt."""
        agent = LatentAgent(self._model, self._settings)
        agent.memory = TraceMemory(self._memory, "codecs", "one", "write")
        for question in track(asked, "learning", console=Console(stderr=True)):
            agent.answer([Turn("user", question.text)])

    def measure(self, codec: Codec, asked: Sequence[Question]) -> Outcome:
        """Warm-start questions from what a codec leaves of the traces."""
        self._memory.codec = codec
        tried = list(track(self._first(asked), "trying", len(asked), console=Console(stderr=True)))
        pairs = list(zip(asked, tried, strict=True))
        traces = list(self._memory.exact.values())
        return Outcome(
            size=_mean([codec(trace.base, trace.optimised)[0] for trace in traces]),
            other_tokens=_mean([_differs(self._model.engine(), codec, one) for one in traces]),
            moved=_mean([trial.source == "memory" for trial in tried]),
            right=_mean([is_right(question, trial.text) for question, trial in pairs]),
        )

    def _first(self, asked: Sequence[Question]) -> Iterator[Trial]:
        """Yield the first answer to each question: the warm start's, or the draft."""
        memory = TraceMemory(self._memory, "codecs", "one", "read", prior=None)
        for question in asked:
            turns = [Turn("user", question.text)]
            prompt = encode_chat(self._model.tokenizer, turns)
            judge = ExactMatch({question.text: str(question.truth)})  # quick, and not looked at
            call = Call(self._model, self._settings, judge, turns, prompt)
            rounds = call.starts(memory.recall(call).warm_starts)
            yield next(rounds)[0].trial


def _differs(engine: Engine, codec: Codec, trace: Trace) -> bool:
    _, _, optimised = codec(trace.base, trace.optimised)
    return engine.decode(torch.from_numpy(optimised), GREEDY) != trace.tokens


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def main(
    learnt: Annotated[int, typer.Option(help="Training questions to learn from.", min=10)] = 200,
    asked: Annotated[int, typer.Option(help="Validation questions.", min=1)] = 200,
    seed: Annotated[int, typer.Option(help="Which questions are drawn.")] = 0,
) -> None:
    """Print size and outcome by codec, as a Markdown table; planted families' questions alone."""
    past, new = (
        [one for one in questions(split, count, seed) if one.planted]
        for split, count in (("train", learnt), ("validation", asked))
    )
    with tempfile.TemporaryDirectory() as folder, Exact(Path(folder) / "m.sqlite3") as memory:
        bench = Bench(memory)
        bench.fill(past)
        typer.echo(f"{len(memory.exact)} traces, {len(new)} questions\n")
        typer.echo("| codec | bytes of latents | prefixes decoded otherwise | moved | right |")
        typer.echo("|---|---|---|---|---|")
        for name, codec in CODECS.items():
            found = bench.measure(codec, new)
            shares = (found.other_tokens, found.moved, found.right)
            cells = " | ".join(f"{share:.1%}" for share in shares)
            typer.echo(f"| {name} | {found.size:,.0f} | {cells} |")


if __name__ == "__main__":
    typer.run(main)
