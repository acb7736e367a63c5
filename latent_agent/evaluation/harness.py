"""The chat model for EleutherAI's ``lm-eval``, which drives it on a task file.

``python -m latent_agent.evaluation.harness run --model latent-agent --model_args model=bundled
--tasks mine --include_path FOLDER`` is ``lm-eval`` itself, with this model known to it; in Python,
``simple_evaluate(model=HarnessModel(chat), ...)``. Needs ``pip install lm-eval``.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

# No dependency of ours: it is installed where the harness is used.
from lm_eval.api.model import LM  # pyright: ignore[reportMissingImports]
from lm_eval.api.registry import register_model  # pyright: ignore[reportMissingImports]
from rich.console import Console
from rich.progress import track

from latent_agent.chat.chat_model import ChatLatentSeek
from latent_agent.errors import EvaluationError

_CHAT = "latent-agent chat: "  # begins what `apply_chat_template` returns


@register_model("latent-agent")  # pyright: ignore[reportUntypedClassDecorator]
class HarnessModel(LM):  # pyright: ignore[reportUntypedBaseClass]
    """`ChatLatentSeek` as the harness knows models.

    Only generation is there: a search has no log-likelihood of a given continuation.

    Args:
        chat: The chat model; None: one is built from the other arguments.
        given: Of ``ChatLatentSeek``, as they stand in ``--model_args``. Nothing is remembered
            unless ``memory`` is given.
    """

    def __init__(self, chat: ChatLatentSeek | None = None, **given: Any) -> None:
        super().__init__()
        arguments: dict[str, Any] = {"model": "bundled", "memory": None, **given}
        self._chat = chat or ChatLatentSeek(**arguments)

    @classmethod
    def create_from_arg_obj(
        cls,
        arg_dict: dict[str, Any],
        additional_config: dict[str, Any] | None = None,  # noqa: ARG003
    ) -> "HarnessModel":
        """Build it from ``--model_args``; the harness's own batch size and device do not apply."""
        return cls(**arg_dict)

    @classmethod
    def create_from_arg_string(
        cls, arg_string: str, additional_config: dict[str, Any] | None = None
    ) -> "HarnessModel":
        """Build it from ``--model_args`` as one text."""
        pairs = (pair.split("=", 1) for pair in arg_string.split(",") if pair)
        given = {name.strip(): _value(text) for name, text in pairs}
        return cls.create_from_arg_obj(given, additional_config)

    @property
    def tokenizer_name(self) -> str:
        """The model's name, under which the harness keeps what it caches."""
        return self._chat.model_name

    def chat_template(self, chat_template: bool | str = False) -> str:  # noqa: ARG002
        """Return nothing: the chat model applies the tokenizer's own template."""
        return ""

    def apply_chat_template(
        self,
        chat_history: Sequence[Mapping[str, str]],
        add_generation_prompt: bool = True,  # noqa: ARG002
    ) -> str:
        """Pack a conversation into the one text that the harness hands on."""
        return _CHAT + json.dumps(list(chat_history))

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Answer each request's conversation."""
        console = Console(stderr=True)
        watched = track(requests, "answering", console=console, disable=disable_tqdm)
        return [self._answer(*request.args) for request in watched]

    def _answer(self, context: str, given: Mapping[str, Any]) -> str:
        conversation: Any = context
        if context.startswith(_CHAT):
            turns = json.loads(context.removeprefix(_CHAT))
            conversation = [(turn["role"], turn["content"]) for turn in turns]
        return self._chat.invoke(conversation, **call_arguments(given)).text

    def loglikelihood(self, requests: Sequence[Any]) -> Any:  # noqa: ARG002
        """Refuse."""
        raise EvaluationError(_REFUSAL.format("loglikelihood"))

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> Any:  # noqa: ARG002
        """Refuse."""
        raise EvaluationError(_REFUSAL.format("loglikelihood_rolling"))


def _value(text: str) -> Any:
    """Read a number, true, false or null; anything else is a text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


_REFUSAL = (
    "a task must ask for generation, but this one asks for {}: a search has no likelihood of a "
    "given continuation; choose a task with output_type: generate_until"
)


def call_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request's generation arguments under our names."""
    until = given.get("until") or []
    arguments: dict[str, Any] = {"stop": [until] if isinstance(until, str) else list(until)}
    if "max_gen_toks" in given:
        arguments["max_tokens"] = given["max_gen_toks"]
    if given.get("do_sample") and given.get("temperature"):
        arguments["temperature"] = given["temperature"]
    return arguments


if __name__ == "__main__":
    from lm_eval.__main__ import cli_evaluate  # pyright: ignore[reportMissingImports]

    cli_evaluate()
