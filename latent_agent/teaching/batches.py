"""Examples to training batches: ids, and a weight for each id of the reply."""

from collections.abc import Sequence
from random import Random
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from latent_agent.teaching.corpus import (
    VERDICT_WEIGHT,
    Candidate,
    Example,
    judging_example,
    solving_example,
)
from latent_agent.teaching.tokenizer import END_OF_TURN, user_prompt

SOLVING_SHARE = 0.4
POOL = 8  # batches drawn together and sorted by length, so that little is padded


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

    def row(self, example: Example) -> tuple[list[int], list[float]]:
        """Return the ids of one exchange and one weight per id, summing to 1."""
        prompt = user_prompt(self._tokenizer, example.prompt)
        head: list[int] = self._tokenizer.encode(prompt, add_special_tokens=False)
        tail: list[int] = [
            *self._tokenizer.encode(example.reply, add_special_tokens=False),
            self._stop,
        ]
        weights = [1.0] * len(tail)
        if example.is_judging:
            verdict = len(tail) - 2
            if self._score in tail:
                verdict = tail.index(self._score) + 1
            weights[verdict] = VERDICT_WEIGHT
        total = sum(weights)
        return head + tail, [0.0] * len(head) + [weight / total for weight in weights]

    def batch(self, rows: Sequence[tuple[list[int], list[float]]]) -> tuple[torch.Tensor, ...]:
        """Pad rows on the right: ids and weights, both (rows, longest)."""
        longest = max(len(ids) for ids, _ in rows)
        ids = [row + [self._pad] * (longest - len(row)) for row, _ in rows]
        weights = [row + [0.0] * (longest - len(row)) for _, row in rows]
        return torch.tensor(ids), torch.tensor(weights)


def pool_batches(
    encoder: Encoder, seed: int, pool: int, batch_size: int, met: Sequence[Candidate]
) -> list[tuple[torch.Tensor, ...]]:
    """Draw the batches of one pool of steps, each of rows of about one length."""
    rng = Random(f"train-{seed}-{pool}")
    rows = [
        encoder.row(
            solving_example(rng) if rng.random() < SOLVING_SHARE else judging_example(rng, met)
        )
        for _ in range(batch_size * POOL)
    ]
    rows.sort(key=lambda row: len(row[0]))
    batches = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    rng.shuffle(batches)
    return [encoder.batch(batch) for batch in batches]
