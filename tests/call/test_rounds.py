"""A round's answers in one batch: the same as one after the other, in fewer passes."""

from typing import Any

from latent_agent import ChatLatentSeek
from latent_agent.teaching import questions

SAMPLED: dict[str, Any] = {
    "model": "bundled", "dtype": "float32", "memory": None, "samples": 6, "temperature": 1.0,
    "max_iterations": 2, "max_tokens": 60, "threshold": -1e-9,
}  # fmt: skip


def test_samples_in_one_batch_are_those_of_one_after_the_other(rows_of: list[int]) -> None:
    asked = [question.text for question in questions("test", n=5, seed=4)]

    def graded(question: str, answer: str) -> float:
        return -0.2 - 0.7 / (1 + len(answer))

    together = ChatLatentSeek(reward=graded, **SAMPLED)
    apart = ChatLatentSeek(reward=graded, max_forwarded_tokens=10**6, **SAMPLED)
    for text in asked:
        first = together.invoke(text)
        few = len(rows_of)
        rows_of.clear()
        second = apart.invoke(text)
        many = len(rows_of)
        rows_of.clear()
        assert first.text == second.text
        ours, theirs = (one.response_metadata["latent_agent"] for one in (first, second))
        for name in ("rewards", "iterations", "source", "stopped"):
            assert ours[name] == theirs[name], name
        # Rows read for themselves what not all of them share: three tokens at most, of each sample.
        read, least = (one["forwarded_tokens"]["refine"] for one in (ours, theirs))
        assert least <= read <= least + 3 * 6 * ours["iterations"]
        assert few < many / 2
