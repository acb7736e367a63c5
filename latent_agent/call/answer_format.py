"""What form a call's answers have: free text, text or tool calls, forced calls, or JSON."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from latent_agent.call.instructed_turns import with_instructions
from latent_agent.model.conversation import Turn
from latent_agent.reward.base import Reward
from latent_agent.reward.tool_calls import StructuredReward, ToolTurnReward
from latent_agent.tools.bare import BARE, bare_calls
from latent_agent.tools.call import Tool, ToolCall
from latent_agent.tools.formats import CallFormat
from latent_agent.tools.instructions import call_instruction, schema_instruction
from latent_agent.tools.schema import ANY_OBJECT, misfit, schema_rule
from latent_agent.tools.template import call_format, forced_format
from latent_memory.fork_renewal import ForkSafeLock

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from latent_agent.model.engine import Engine
    from latent_agent.model.logits_mask import Constraint
    from latent_agent.tools.grammar import Grammars

Read = Callable[[Sequence[int], str], tuple[str, tuple[ToolCall, ...]]]
"""Takes an answer's tokens and text; returns the text outside its tool calls, and the calls."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """What form a call's answers have.

    With tools and a schema an answer is calls, or JSON that fits.

    Attributes:
        tools: What may be called; the prompt describes them.
        forced: Which of them must be called, one at least; empty: none must.
        several: Whether one answer may make more than one call.
        schema: JSON schema of an answer that calls nothing; None: that is free text.
        strict: Whether a schema that the grammar cannot express in full is refused.
    """

    tools: tuple[Tool, ...] = ()
    forced: tuple[Tool, ...] = ()
    several: bool = True
    schema: Mapping[str, Any] | None = None
    strict: bool = False

    @property
    def constrained(self) -> bool:
        """Whether a grammar holds the answers."""
        return bool(self.forced) or self.schema is not None

    def told(
        self, tokenizer: "PreTrainedTokenizerBase", turns: Sequence[Turn]
    ) -> tuple[list[Turn], tuple[Tool, ...]]:
        """Return the turns of the prompt, and the tools for its template.

        An instruction says the schema, and the forced tools of which the template cannot tell; it
        ends the system prompt, which is made where there is none.

        Raises:
            PromptError: If tools that are not forced are ones that the template cannot tell of.
        """
        tools, instructions = self.tools, list[str]()
        if tools and self._format(tokenizer) is BARE:
            tools, instructions = (), [call_instruction(self.forced)]
        if self.schema is not None and self.schema != ANY_OBJECT and not self.forced:
            instructions.append(schema_instruction(self.schema))
        return with_instructions(turns, instructions), tools

    def _format(self, tokenizer: "PreTrainedTokenizerBase") -> CallFormat:
        return forced_format(tokenizer) if self.forced else call_format(tokenizer)

    def constraint(self, engine: "Engine") -> "Constraint":
        """Return what the grammar allows, for one call.

        Raises:
            SettingError: If no grammar can express it.
            PromptError: If the model's way to write calls is unknown.
        """
        from latent_agent.model.logits_mask import FREE

        if not self.constrained:
            return FREE
        rules: dict[str, str] = {}
        if callable_now := self.forced or self.tools:
            written = self._format(engine.tokenizer)
            rules["calls"] = written.rules(engine.tokenizer, callable_now, several=self.several)
        if self.schema is not None and not self.forced:
            rules["answer"] = f"answer: {schema_rule(self.schema, strict=self.strict)}"
        shown = self.schema or [dict(tool.spec) for tool in self.forced]
        lark = "\n".join([f"start: {' | '.join(rules)}", *rules.values()])
        return grammars(engine).compile(lark, shown)

    def reward(self, reward: Reward) -> Reward:
        """Return the reward that scores answers of this form."""
        if self.schema is not None:
            reward = StructuredReward(reward)
        return ToolTurnReward(reward) if self.tools and not reward.reads_calls else reward

    def reader(self, engine: "Engine") -> Read:
        """Return what takes an answer's calls out of it, checked against the tools."""
        if not self.tools:
            return lambda _, text: (text, ())
        written = self._format(engine.tokenizer)

        def read(tokens: Sequence[int], text: str) -> tuple[str, tuple[ToolCall, ...]]:
            kept = [token for token in tokens if token not in engine.stop_ids]
            outside, calls = written.calls(engine.tokenizer, kept, self.tools)
            if not calls and self.schema is None:
                outside, calls = "", bare_calls(text, self.tools)
            if not calls:
                return text, ()
            checked = tuple(self._checked(call) for call in calls)
            return outside.strip(), checked if self.several else checked[:1]

        return read

    def _checked(self, call: ToolCall) -> ToolCall:
        if call.malformed is not None:
            return call
        known = {tool.name: tool for tool in self.tools}
        if call.name not in known:
            return replace(call, misfit=f"there is no tool {call.name!r}, only {sorted(known)}")
        return replace(call, misfit=misfit(call.arguments, known[call.name].parameters))


FREE_TEXT = Form()

_grammars: "WeakKeyDictionary[Engine, Grammars]" = WeakKeyDictionary()
_lock = ForkSafeLock()


def grammars(engine: "Engine") -> "Grammars":
    """Return what compiles grammars for a model; made once, since a large vocabulary takes long."""
    from latent_agent.tools.grammar import Grammars

    with _lock:
        if engine not in _grammars:
            _grammars[engine] = Grammars(engine.tokenizer, engine.vocabulary, engine.stop_ids)
        return _grammars[engine]
