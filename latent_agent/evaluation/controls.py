"""Control baselines: the same search without the one thing that is said to matter."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from latent_agent.call.call import Call
from latent_agent.call.outcome import outcome_of
from latent_agent.evaluation.bench import Answered, AnswerLog, Bench, Method
from latent_agent.evaluation.items import Item
from latent_agent.evaluation.methods import Proposals, alone, propose, reading
from latent_agent.model.sampling import GREEDY
from latent_agent.search.refine import Search
from latent_agent.search.types import Candidate, Start
from latent_memory import Neighbour


def flipped(bench: Bench, item: Item) -> Answered:
    """No gradient: the token of least margin turned to its runner-up, then the next, K times.

    What follows the turned token is generated again, greedily.
    """
    greedy = replace(
        bench.settings, search="flip", temperature=0.0, samples=1, baseline="none", step="fixed"
    )
    return replace(bench, settings=greedy).search(item)


def noisy(bench: Bench, item: Item) -> Answered:
    """No gradient: random signs on the latents, as far out as Adam's steps reach.

    A step of Adam moves a coordinate by about the learning rate, so after t steps it lies no
    further out than t times that; the noise lies just there, in a new direction each time.
    """
    return propose(bench, item, lambda call: _noise(call, bench), "noise")


def _noise(call: Call, bench: Bench) -> Proposals:
    base, settings = call.writer.base(), bench.settings
    generator = torch.Generator().manual_seed(settings.seed)
    for step in range(1, settings.max_iterations + 1):
        signs = torch.randint(0, 2, base.shape, generator=generator).to(base) * 2 - 1
        moved = base + step * settings.learning_rate * signs
        yield Candidate(call.decode(moved, GREEDY))


def reused_tokens(bench: Bench, item: Item) -> Answered:
    """A memory of tokens: the neighbours' winning prefix is tried as it is, then LatentSeek."""
    log = AnswerLog()
    call, settings = bench.call(item, log), bench.settings
    recalled = reading(bench).recall(call)
    search = Search(call, settings, call.width)
    with search:
        if recalled.neighbours:
            prefix = favourite(recalled.neighbours, settings.momentum_temperature)
            if prefix != call.writer.opening().tokens[: len(prefix)]:
                trial = call.attempt(Candidate(prefix), "tokens")
                search.start_from([[Start(trial=trial, latents=call.writer.base())]])
        search.start_from(call.starts(()))
        search.refine()
    outcome = replace(outcome_of(call, search.record), neighbours=recalled.ids)
    return Answered(outcome=outcome, answers=log.answers)


def favourite(neighbours: Sequence[Neighbour], temperature: float) -> tuple[int, ...]:
    """Return the winning tokens with the most weight; weights as in the momentum transfer."""
    similarities = torch.tensor([neighbour.similarity for neighbour in neighbours])
    weights = torch.softmax(similarities / temperature, dim=0).tolist()
    votes: dict[tuple[int, ...], float] = {}
    for weight, neighbour in zip(weights, neighbours, strict=True):
        tokens = tuple(neighbour.stored.trace.tokens)
        votes[tokens] = votes.get(tokens, 0.0) + weight
    return max(votes, key=lambda tokens: votes[tokens])


def shuffled_memory(bench: Bench, item: Item) -> Answered:
    """A memory whose traces each lie under another one's question."""
    return bench.search(item, reading(bench, "shuffled"))


def shuffled_prior(bench: Bench, item: Item) -> Answered:
    """A prior trained on traces whose winners are another one's."""
    return alone(bench).search(item, reading(bench, "misled", "misled_prior"))


CONTROLS: Mapping[str, Method] = {
    "flip": flipped,
    "noise": noisy,
    "tokens": reused_tokens,
    "shuffled-memory": shuffled_memory,
    "shuffled-prior": shuffled_prior,
}
