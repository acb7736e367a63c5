"""Grammars over tokens: which token may follow which.

By llguidance: MIT, no dependencies, one wheel for all Pythons and no torch of its own (xgrammar
brings Triton, outlines-core knows no recursion, lm-format-enforcer is slow in pure Python).
"""

from collections.abc import Sequence

import llguidance.hf
import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from latent_agent.errors import SettingError
from latent_agent.tools.repetition import RepetitionGuard


class Grammars:
    """What compiles grammars for one model.

    Args:
        tokenizer: The model's, a fast one.
        rows: Rows of the model's head: the width of its logits.
        stop_ids: What may end an answer.

    Raises:
        SettingError: If the tokenizer is no fast one, or no token ends an answer.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, rows: int, stop_ids: frozenset[int]
    ) -> None:
        if not isinstance(tokenizer, PreTrainedTokenizerFast) or not stop_ids:
            raise SettingError(
                "a grammar needs a fast tokenizer and a token that ends an answer, got "
                f"{type(tokenizer).__name__} with end tokens {sorted(stop_ids)}; choose a model "
                "that has both, or do without forced tool calls and structured output"
            )
        self._rows = rows
        self._tokens: LLTokenizer = llguidance.hf.from_tokenizer(
            tokenizer, n_vocab=max(rows, len(tokenizer)), eos_token=sorted(stop_ids)
        )
        self._guard = RepetitionGuard(self._tokens, rows)

    def compile(self, lark: str, source: object) -> "GrammarConstraint":
        """Compile a grammar.

        Args:
            lark: In llguidance's dialect of Lark.
            source: What it was made of, for the error.

        Raises:
            SettingError: If no grammar can express it.
        """
        matcher = LLMatcher(self._tokens, LLMatcher.grammar_from_lark(lark), log_level=0)
        if matcher.is_error():
            reason = matcher.get_error().splitlines()[0]
            raise SettingError(
                f"a schema must be one that a grammar can express, got {source!r} ({reason}); "
                "simplify it"
            )
        return GrammarConstraint(matcher, self._rows, self._guard)


class GrammarConstraint:
    """A compiled grammar as a `Constraint`; for one call, and one thread at a time.

    What goes round in circles is closed.
    """

    def __init__(self, matcher: LLMatcher, rows: int, guard: RepetitionGuard) -> None:
        self._start, self._rows, self._guard = matcher, rows, guard
        self._at, self._seen = matcher.deep_copy(), list[int]()

    def mask(self, logits: torch.Tensor, tokens: Sequence[int]) -> torch.Tensor:
        """Mask what may not follow ``tokens``."""
        self._go_to(tokens)
        bits = np.frombuffer(self._at.compute_bitmask(), np.uint8)
        allowed = np.unpackbits(bits, bitorder="little")[: self._rows].astype(bool)
        if self._at.is_error() or not allowed.any():
            reason = self._at.get_error().splitlines()[:1]
            raise SettingError(
                f"a grammar must allow some token after {list(tokens)!r}, got none {reason}; "
                "simplify the schema"
            )
        allowed = torch.from_numpy(self._guard.narrow(allowed, tokens))
        return logits.masked_fill(~allowed.to(logits.device), float("-inf"))

    def _go_to(self, tokens: Sequence[int]) -> None:
        """Move on from the tokens seen, or from the start where another prefix is tried."""
        prefix = list(tokens)
        if prefix[: len(self._seen)] != self._seen:
            self._at, self._seen = self._start.deep_copy(), []
        self._at.consume_tokens(prefix[len(self._seen) :])
        self._seen = prefix
