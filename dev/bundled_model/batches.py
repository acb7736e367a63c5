"""Examples to training batches: ids, and a weight for each id of the reply."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from dev.bundled_model.examples import (
    VERDICT_WEIGHT,
    Candidate,
    Example,
    judging_example,
    solving_example,
)
from dev.bundled_model.talk import Talk
from dev.bundled_model.talks import draw_talk, judged_talk, repeating
from dev.bundled_model.tokenizer import END_OF_TURN, render, user_prompt
from dev.bundled_model.words import Words

SOLVING_SHARE = 0.4
COPIED_TALKS = (0.9, 0.1)  # of the talks, how many are copying at first, and later
JUDGED_TALKS = 0.1  # of the talks, how many are judged instead of held
LONGEST_TALK = 288  # tokens; a longer talk is drawn anew
POOL = 8  # batches drawn together and sorted by length, so that little is padded


Row = tuple[list[int], list[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What one stage of the training draws, and how long it lasts.

    Attributes:
        name: Seeds the stage's draws.
        talks: Share of the examples that are talks; the rest is the world's.
        copying_talks: The same share in the steps of copying.
        harvests: Shares of the training after which the model is asked itself.
        asked: How many questions the model is asked then.
        steps: Optimiser steps.
        peak: Peak learning rate.
        warm_up: Steps in which the learning rate rises to its peak.
        flat: Share of the training after which it falls.
        copying: Steps in which most talks are mere copying, which all else is built upon.
    """

    name: str
    talks: float
    harvests: tuple[float, ...]
    asked: int
    steps: int
    peak: float
    warm_up: int
    flat: float
    copying_talks: float = 0.0
    copying: int = 0


WORLD = Stage(
    name="train",
    talks=0.0,
    harvests=(0.35, 0.5, 0.65, 0.8),
    asked=6_000,
    steps=16_000,
    peak=2.5e-3,
    warm_up=300,
    flat=0.0,
)
TALKS = Stage(
    name="talks",
    talks=0.4,
    harvests=(0.0, 0.5),
    asked=3_000,
    steps=6_000,
    peak=1.5e-3,
    warm_up=100,
    flat=0.5,
    copying_talks=0.7,
    copying=2_000,
)


def _weighed(head: list[int], tail: list[int], weights: list[float]) -> Row:
    total = sum(weights)
    return head + tail, [0.0] * len(head) + [weight / total for weight in weights]


class Encoder:
    """Examples to (ids, targets, weights); the prompt carries no weight."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Remember the tokenizer and the ids that the judge's verdict may be."""
        self._tokenizer = tokenizer
        self._stop: Any = tokenizer.convert_tokens_to_ids(END_OF_TURN)
        self._pad: Any = tokenizer.pad_token_id
        words = (" True", " False", " Score")
        self._true, self._false, self._score = (
            tokenizer.encode(word, add_special_tokens=False)[0] for word in words
        )

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False)

    def row(self, example: Example) -> Row:
        """Return the ids of one exchange and one weight per id, summing to 1."""
        head = self._ids(user_prompt(self._tokenizer, example.prompt))
        tail = [*self._ids(example.reply), self._stop]
        weights = [1.0] * len(tail)
        if example.is_judging:
            verdict = len(tail) - 2
            if self._score in tail:
                verdict = tail.index(self._score) + 1
            weights[verdict] = VERDICT_WEIGHT
        return _weighed(head, tail, weights)

    def talk_row(self, talk: Talk) -> Row:
        """The same for a talk: only what is to be learnt carries weight."""
        head = self._ids(render(self._tokenizer, talk.messages, talk.tools))
        tail: list[int] = []
        weights: list[float] = []
        for part in talk.reply:
            ids = self._ids(part.text)
            tail += ids
            weights += [float(part.is_learnt)] * len(ids)
        return _weighed(head, [*tail, self._stop], [*weights, 1.0])

    def batch(self, rows: Sequence[Row]) -> tuple[torch.Tensor, ...]:
        """Pad rows on the right: ids and weights, both (rows, longest)."""
        longest = max(len(ids) for ids, _ in rows)
        ids = [row + [self._pad] * (longest - len(row)) for row, _ in rows]
        weights = [row + [0.0] * (longest - len(row)) for _, row in rows]
        return torch.tensor(ids), torch.tensor(weights)


def _talk_row(encoder: Encoder, rng: Random, copied: float) -> Row:
    words = Words(rng)
    if rng.random() < copied:
        return encoder.talk_row(repeating(words))
    if rng.random() < JUDGED_TALKS:
        return encoder.row(judged_talk(words))
    while len((row := encoder.talk_row(draw_talk(words)))[0]) > LONGEST_TALK:
        pass
    return row


def _draw_row(
    encoder: Encoder, stage: Stage, step: int, rng: Random, met: Sequence[Candidate]
) -> Row:
    is_later = step >= stage.copying
    share = stage.talks if is_later else stage.copying_talks
    if share and rng.random() < share:
        return _talk_row(encoder, rng, COPIED_TALKS[is_later])
    solves = rng.random() < SOLVING_SHARE
    return encoder.row(solving_example(rng) if solves else judging_example(rng, met))


def pool_batches(
    encoder: Encoder,
    stage: Stage,
    seed: int,
    pool: int,
    batch_size: int,
    met: Sequence[Candidate],
) -> list[tuple[torch.Tensor, ...]]:
    """Draw the batches of one pool of steps, each of rows of about one length."""
    rng = Random(f"{stage.name}-{seed}-{pool}")
    rows = [_draw_row(encoder, stage, pool * POOL, rng, met) for _ in range(batch_size * POOL)]
    rows.sort(key=lambda row: len(row[0]))
    batches = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    rng.shuffle(batches)
    return [encoder.batch(batch) for batch in batches]
