"""How likely the model finds each token of an answer, read once more after the answer stands."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

import torch

from latent_agent.model.budget import Budget
from latent_agent.model.engine import AnswerLimits, Engine, Writing
from latent_agent.model.sampling import KnownAnswer

if TYPE_CHECKING:
    from latent_agent.call.call import Call

_BEFORE = 8  # tokens that a token's text is decoded after: a word's blank, parts of a character


@dataclass(frozen=True)
class LikelyToken:
    """A token and how likely it is.

    Attributes:
        text: What it adds to the text before it; of a part of a character the replacement sign.
        logprob: Natural logarithm of its probability, at a temperature of 1 and unconstrained.
    """

    text: str
    logprob: float


@dataclass(frozen=True)
class AnswerToken:
    """A token of an answer, and the likeliest ones in its place."""

    chosen: LikelyToken
    top: Sequence[LikelyToken]


@dataclass(frozen=True)
class ReadAgain:
    """An answer's tokens, and the tokens forwarded to read them once more."""

    tokens: Sequence[AnswerToken]
    forwarded: int


class _Recorder(KnownAnswer):
    """Chooses given tokens, and notes how likely each was."""

    def __init__(self, tokens: Sequence[int], top: int) -> None:
        super().__init__(tokens)
        self._top = top
        self.seen: list[tuple[float, list[float], list[int]]] = []

    def choose(self, logits: torch.Tensor, tokens: Sequence[int] = ()) -> int:
        token = super().choose(logits, tokens)
        likely = torch.log_softmax(logits.float(), dim=-1)
        best = likely.topk(min(self._top, len(likely)))
        self.seen.append((float(likely[token]), best.values.tolist(), best.indices.tolist()))
        return token


def answer_tokens(call: "Call", tokens: Sequence[int], text: str, top: int) -> ReadAgain:
    """Return how likely each token of an answer is; thought, stop token and stop text are none.

    It takes as many passes as the answer has tokens, on no budget: the answer stands already.

    Args:
        call: The call.
        tokens: Ids of all that it wrote.
        text: The answer.
        top: How many of the likeliest to name for each.

    Raises:
        CallCancelled: If nobody waits for it any more.
    """
    engine, begins = call.engine, call.thinking.parts(tokens).thinking_tokens
    budget, recorder = Budget(None, None, call.budget.cancelled), _Recorder(tokens, top)
    row = Writing(
        prompt=call.prompt,
        limits=AnswerLimits(max_tokens=len(tokens)),
        sampler=recorder,
        latents=False,
    )
    engine.sequence(budget).write([row], "draft")
    made: list[AnswerToken] = []
    for place in range(begins, begins + length_in_tokens(engine, tokens[begins:], text)):
        piece = _piece(engine, tokens[max(begins, place - _BEFORE) : place])
        own, values, ids = recorder.seen[place]
        likeliest = [LikelyToken(piece(id), value) for id, value in zip(ids, values, strict=True)]
        made.append(AnswerToken(LikelyToken(piece(tokens[place]), own), likeliest))
    return ReadAgain(made, budget.total)


def length_in_tokens(engine: Engine, tokens: Sequence[int], text: str) -> int:
    """Return how many tokens a text takes, which may end before them."""
    kept = [token for token in tokens if token not in engine.stop_ids]
    lead = len(engine.text(kept)) - len(engine.text(kept).lstrip()) if text == text.lstrip() else 0
    count = bisect_left(
        range(len(kept)), len(text) + lead, key=lambda count: len(engine.text(kept[:count]))
    )
    whole = engine.text(kept)[: len(text) + lead]
    while count < len(kept) and engine.text(kept[:count]) != whole:  # the last character's tokens
        longer = engine.text(kept[: count + 1])
        if len(longer) > len(whole):
            break
        count += 1
    return count


def _piece(engine: Engine, before: Sequence[int]) -> Callable[[int], str]:
    """Return what tells the text that a token adds."""
    known = engine.text(before)

    def text(token: int) -> str:
        whole = engine.text([*before, token])
        pairs = zip(known, whole, strict=False)
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        return whole[shared:]

    return text
