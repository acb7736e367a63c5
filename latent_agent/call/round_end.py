"""The early end of a round: its answers are judged as they end, until one is accepted."""

from collections.abc import Callable

from latent_agent.call.scorer import Scorer, Unscored
from latent_agent.model.engine import Completion, OnEnd

Read = Callable[[Completion, str], Unscored]
"""Takes an answer and its source; returns it as it is scored."""


class RoundEnd:
    """What ends one round, before all of its answers are written.

    What counts is the token with which an answer ends, not the time: of two that pass the one of
    fewer tokens behind its prefix ends the round, wherever and with whatever else it is written.

    Args:
        scorer: The call's.
        read: Reads answers.
        answers: How many the round has; those that are known already count as unfinished.
    """

    def __init__(self, scorer: Scorer, read: Read, answers: int) -> None:
        self._scorer, self._read, self._answers = scorer, read, answers
        self._ended: list[tuple[int, Unscored, bool]] = []
        self._over = False

    def of(self, source: str) -> OnEnd:
        """Return what hears of the end of an answer that comes from ``source``."""

        def hears(completion: Completion, token: int) -> bool:
            one = self._read(completion, source)
            self._ended.append((token, one, self._scorer.passes_early(one)))
            ends = self._by(token)
            self._over = self._over or ends
            return ends

        return hears

    def _by(self, token: int) -> bool:
        """Whether the round has ended by a token."""
        ended = [(one, passes) for at, one, passes in self._ended if at <= token]
        if any(passes for _, passes in ended):
            return True
        return self._scorer.settled([one for one, _ in ended], self._answers - len(ended))

    def late(self) -> set[tuple[int, ...]]:
        """Return the tokens of answers that ended after the round, written in another part of it.

        As they are where rows do not fit the memory: what a round comes to does not hang on that.
        """
        tokens = sorted({token for token, _, _ in self._ended}) if self._over else []
        last = next((token for token in tokens if self._by(token)), None)
        if last is None:
            return set()
        in_time = {one.completion.tokens for token, one, _ in self._ended if token <= last}
        return {one.completion.tokens for _, one, _ in self._ended} - in_time
