"""Passes over the next tokens of one call or several: rows of a context need no padding."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from latent_agent.model.llama_engine.context import Context, Token
from latent_agent.model.open_answer import PassOutput


@dataclass(eq=False)
class TokenGroup:
    """The sequences that one call decodes together, as their next tokens."""

    tokens: Sequence[Token] = field(default_factory=list[Token])


class LlamaPasses:
    """Makes passes for groups of tokens; see `BatchScheduler`."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def run(self, groups: Sequence[TokenGroup]) -> Sequence[PassOutput]:
        """Read the next token of each row."""
        tokens = [token for group in groups for token in group.tokens]
        latents, logits = self._context.read(tokens, latents=True)
        counts = [len(group.tokens) for group in groups]
        return list(zip(latents.split(counts), logits.split(counts), strict=True))

    def leave(self, group: TokenGroup, *, keep: bool) -> None:
        """Nothing is to be done: each row's cells are its own."""
