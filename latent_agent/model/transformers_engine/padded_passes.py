"""Passes over the cached rows of one call or several, padded to one width."""

from collections.abc import Callable, Sequence

from latent_agent.model.open_answer import PassOutput
from latent_agent.model.transformers_engine.batched_cache import PaddedBatch, SequenceGroup


class PaddedPasses:
    """Makes passes for groups of rows; see `BatchScheduler`.

    Args:
        one_pass: Reads one more token in each row: takes ids, cache, mask and positions.

    Attributes:
        batch: The rows of the last pass, if it was for several groups.
    """

    def __init__(self, one_pass: Callable[..., PassOutput]) -> None:
        self._pass = one_pass
        self.batch: PaddedBatch | None = None

    def run(self, groups: Sequence[SequenceGroup]) -> Sequence[PassOutput]:
        """Read the next token of each row."""
        return self._single(groups[0]) if len(groups) == 1 else self._batched(tuple(groups))

    def leave(self, group: SequenceGroup, *, keep: bool) -> None:
        """Let a group's cache hold its rows again, if they must be kept."""
        batch = self.batch  # a pass that the group joined too late for may replace it
        if keep and batch is not None and batch.holds(group):
            batch.write_back(group, copy=True)

    def narrow(self, group: SequenceGroup, rows: Sequence[int]) -> None:
        """Let a group go on with some of its rows: what has ended is read no further."""
        batch = self.batch
        self.leave(group, keep=True)
        if batch is not None:
            batch.drop(group)
        group.keep(rows)

    def _single(self, group: SequenceGroup) -> list[PassOutput]:
        if self.batch is not None:
            if self.batch.holds(group):
                self.batch.write_back(group, copy=True)
            self.batch = None
        assert group.ids is not None
        return [self._pass(group.ids, group.cache, *group.inputs())]

    def _batched(self, groups: tuple[SequenceGroup, ...]) -> list[PassOutput]:
        batch = self._batch_of(groups)
        ids, mask, positions = batch.inputs()
        try:
            latents, logits = self._pass(ids, batch.cache, mask, positions)
        except BaseException:
            batch.rewind()
            raise
        batch.grow(mask)
        return list(zip(batch.split(latents), batch.split(logits), strict=True))

    def _batch_of(self, groups: tuple[SequenceGroup, ...]) -> PaddedBatch:
        before = self.batch
        if before is not None and before.serves(groups):
            return before
        if before is not None:
            for group in groups:
                if before.holds(group):
                    before.write_back(group, copy=False)
        self.batch = PaddedBatch(groups)
        return self.batch
