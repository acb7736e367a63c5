"""Models that think before they answer: ``<think>`` a thought ``</think>``, then the answer."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from latent_agent.tools.pieces import marker_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from latent_agent.model.engine import Engine

_TAGS = OPENING, CLOSING = "<think>", "</think>"
_TAG = 16  # tokens at most that a tag and the whitespace around it are written in


def knows_thinking(tokenizer: "PreTrainedTokenizerBase") -> bool:
    """Whether the tags mean something to a model: they are tokens, or its template names them."""
    template: Any = tokenizer.chat_template
    named = str(template or "")
    return OPENING in named or CLOSING in named or bool(marker_ids(tokenizer, _TAGS))


def split_thought(text: str) -> tuple[str, str]:
    """Return the thought that a text begins with, and the rest; without one, all is the rest."""
    before, closing, answer = text.partition(CLOSING)
    thought = before.strip()
    if not closing or not thought.startswith(OPENING):
        return "", text
    return thought.removeprefix(OPENING).strip(), answer.lstrip()


def closed(tokenizer: "PreTrainedTokenizerBase", prompt: list[int]) -> list[int]:
    """Return a prompt after which the answer itself follows, though the template began a thought.

    Grammars and verdicts that are read from one pass leave no room for a thought.
    """
    if not _opened(tokenizer, prompt):
        return prompt
    return prompt + tokenizer.encode(f"\n{CLOSING}\n\n", add_special_tokens=False)


def _opened(tokenizer: "PreTrainedTokenizerBase", prompt: Sequence[int]) -> bool:
    end: Any = tokenizer.decode(list(prompt[-_TAG:]))
    return knows_thinking(tokenizer) and end.rstrip().endswith(OPENING)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """An answer's tokens in two parts.

    Attributes:
        thought: What was thought, without tags.
        thinking_tokens: How many tokens that took, tags included.
        answer: What follows.
        tokens: Its tokens.
        finished: Whether the thought was closed; True if there was none.
    """

    thought: str = ""
    thinking_tokens: int = 0
    answer: str
    tokens: Sequence[int]
    finished: bool = True


class Thinking:
    """Separates thought from answer in what follows a prompt.

    A tag that is a token of its own counts only where that very token stands. Models that know
    no tags write them as any other text.
    """

    def __init__(self, engine: "Engine", prompt: Sequence[int]) -> None:
        tokenizer = engine.tokenizer
        self._text = engine.text
        self._knows, self._begun = knows_thinking(tokenizer), _opened(tokenizer, prompt)
        ids = marker_ids(tokenizer, _TAGS)
        self._open, self._close = ids.get(OPENING), ids.get(CLOSING)

    def answer_at(self, tokens: Sequence[int], new: int) -> int | None:
        """Return where the answer begins; None while it has not, as far as can be seen.

        Args:
            tokens: What the model wrote so far.
            new: How many tokens at the end are new; before them no thought ended.
        """
        opens = self._opens(tokens)
        if not opens:
            return 0 if opens is False else None
        if self._close is not None:
            return tokens.index(self._close) + 1 if self._close in tokens else None
        if CLOSING not in self._text(tokens[-new - _TAG :]):
            return None
        lengths = range(len(tokens) + 1)
        return bisect_left(lengths, 1, key=lambda length: CLOSING in self._text(tokens[:length]))

    def parts(self, tokens: Sequence[int]) -> Parts:
        """Split what the model wrote."""
        at = self.answer_at(tokens, len(tokens))
        if not at and not self._opens(tokens):
            return Parts(answer=self._text(tokens), tokens=tokens)
        length = len(tokens) if at is None else at
        thought, _, rest = self._text(tokens[:length]).partition(CLOSING)
        return Parts(
            thought=thought.strip().removeprefix(OPENING).strip(),
            thinking_tokens=length,
            answer=(rest + self._text(tokens[length:])).lstrip(),
            tokens=tokens[length:],
            finished=at is not None,
        )

    def _opens(self, tokens: Sequence[int]) -> bool | None:
        """Whether there is a thought; None: too little is written to say."""
        if not self._knows or self._begun:
            return self._begun
        if self._open is not None:
            marks = (
                token for token in tokens if token == self._open or self._text([token]).strip()
            )
            first = next(marks, None)
            return None if first is None else first == self._open
        lead = self._text(tokens[:_TAG]).lstrip()
        return True if lead.startswith(OPENING) else None if OPENING.startswith(lead) else False
