"""Questions of the teaching world, drawn by split."""

from collections.abc import Mapping, Sequence
from random import Random

from latent_agent.teaching.families import PLANTED, TRAINED, UNSEEN
from latent_agent.teaching.rewording import reworded
from latent_agent.teaching.world import Question, split_of

_PRACTICE = {"story": 1.5, "compare": 3.0, "calendar": 1.5, "chain": 1.5}
_MOST_MISSES = 10_000
_FAMILIES: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(("train", "validation", "test"), tuple(TRAINED)),
    "unseen": tuple(UNSEEN),
    "reworded": tuple(family for family in TRAINED if family in PLANTED),
}


def draw_question(rng: Random, split: str, families: Sequence[str] = tuple(TRAINED)) -> Question:
    """Draw a question of a split; families that need more practice are likelier."""
    weights = [_PRACTICE.get(family, 1.0) for family in families]
    make = {**TRAINED, **UNSEEN}[rng.choices(families, weights)[0]]
    wanted = "test" if split == "reworded" else split
    while True:
        question = make(rng)
        if split == "unseen" or split_of(question.key) == wanted:
            return reworded(question, rng) if split == "reworded" else question


def questions(split: str = "test", n: int = 200, seed: int = 0) -> list[Question]:
    """Return ``n`` different questions of a split, its families taking turns.

    Args:
        split: ``train``, ``validation``, ``test``, ``unseen`` (a family and verbs that are kept out
            of training altogether), or ``reworded`` (test questions of the planted families, in
            wordings that are kept out of it too).
        n: How many.
        seed: Other seeds give other questions of the same split.

    Raises:
        ValueError: If the split is unknown, ``n`` is negative, or there are fewer.
    """
    if split not in _FAMILIES:
        raise ValueError(f"split must be one of {', '.join(_FAMILIES)}, got {split!r}; choose one")
    if n < 0:
        raise ValueError(f"n must not be negative, got {n!r}; give 0 or more")
    rng = Random(f"{split}-{seed}")
    families = _FAMILIES[split]
    drawn: dict[tuple[str, ...], Question] = {}
    missed = 0  # draws in a row that gave a question known already
    while len(drawn) < n:
        family = families[len(drawn) % len(families)]
        question = draw_question(rng, split, (family,))
        missed = missed + 1 if question.key in drawn else 0
        if missed == _MOST_MISSES:
            raise ValueError(
                f"n must not be more than the split {split!r} holds, got {n!r}, but of the family "
                f"{family!r} no further one was found after {len(drawn)} in all; ask for fewer"
            )
        drawn.setdefault(question.key, question)
    return list(drawn.values())
