"""How models write tool calls: the common formats, each read and forced by its own file."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from latent_agent.tools.call import Tool, ToolCall
from latent_agent.tools.pieces import Piece, marker_ids, split_answer, split_text
from latent_agent.tools.schema import schema_rule

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Reader = Callable[[Sequence[Piece], frozenset[str]], tuple[str, list[ToolCall]]]
"""Takes an answer's pieces and the tools' names; returns the text outside calls, and the calls."""


@dataclass(frozen=True, kw_only=True)
class CallFormat:
    """One way to write tool calls.

    Attributes:
        name: Of the models that write so.
        markers: What stands around calls; may be none.
        signs: What a template's rendered call holds, if it is of this format.
        read: Reads an answer's calls.
        opening: Before the first call.
        between: Between calls.
        closing: After the last.
        call: What stands before and after a call's arguments, by tool name.
    """

    name: str
    markers: tuple[str, ...]
    signs: tuple[str, ...]
    read: Reader
    opening: str = ""
    between: str = "\n"
    closing: str = ""
    call: Callable[[str], tuple[str, str]]

    def calls(
        self, tokenizer: "PreTrainedTokenizerBase", tokens: Sequence[int], tools: Sequence[Tool]
    ) -> tuple[str, list[ToolCall]]:
        """Return an answer's text outside its calls, and its calls."""
        pieces = split_answer(tokenizer, tokens, self.markers)
        return self.read(pieces, frozenset(tool.name for tool in tools))

    def rules(
        self, tokenizer: "PreTrainedTokenizerBase", tools: Sequence[Tool], *, several: bool
    ) -> str:
        """Return the grammar of ``calls``, in llguidance's Lark: calls of some tools alone.

        Args:
            tokenizer: Markers that are tokens of its own are forced as such.
            tools: Which may be called.
            several: Whether more than one call may be made.
        """
        own = marker_ids(tokenizer, self.markers)

        def literal(text: str) -> str:
            """Write a string for Lark: quoted text, and the ids of markers that are tokens."""
            return " ".join(
                f"<[{own[piece.text]}]>"
                if piece.marker
                else json.dumps(piece.text, ensure_ascii=False)
                for piece in split_text(text, tuple(own))
            )

        more = f" ({literal(self.between)} call)*" if several else ""
        rules = [f"calls: {literal(self.opening)} call{more} {literal(self.closing)}"]
        rules.append("call: " + " | ".join(f"call{n}" for n in range(len(tools))))
        for number, tool in enumerate(tools):
            before, after = self.call(tool.name)
            rules.append(f"call{number}: {literal(before)} arguments{number} {literal(after)}")
            schema = schema_rule(tool.parameters, strict=tool.strict)
            rules.append(f"arguments{number}: {schema}")
        return "\n".join(rules)
