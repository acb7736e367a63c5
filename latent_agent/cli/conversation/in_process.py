"""A model in this process as the one who answers."""

from collections.abc import Mapping, Sequence
from typing import Any

from latent_agent.chat.chat_model import ChatLatentSeek
from latent_agent.chat.to_langchain import REASONING
from latent_agent.cli.conversation.partner import Reply, Said, Show, Turn
from latent_agent.cli.conversation.words import doing_text, rated_text
from latent_agent.errors import LatentAgentError
from latent_agent.recall.open_memory import open_memory
from latent_memory import LatentMemoryError


class InProcess:
    """A chat model in this process."""

    def __init__(self, chat: ChatLatentSeek) -> None:
        self._chat = chat

    @property
    def title(self) -> str:
        """Model and memory."""
        memory = open_memory(self._chat.memory, self._chat.memory_mode)
        kept = "nothing is remembered" if memory is None else f"memory {memory.place}"
        whose = self._chat.namespace
        named = "" if memory is None or whose == "default" else f", namespace {whose}"
        return f"{self._chat.model_name}, {kept}{named}"

    def open(self) -> None:
        """Load the model."""
        chat = self._chat
        chat.held_models.open(chat.model, chat.tokenizer, chat.load_options).engine()

    def answer(self, turns: Sequence[Turn], show: Show) -> Reply:
        """Answer a conversation."""
        message: Any = None
        # A call's own listener: the chat model is shared with those who rate.
        listener = _doing(show)
        for chunk in self._chat.stream(list(turns), on_progress=listener, stream_draft=True):
            for kind, piece in (
                ("draft", chunk.additional_kwargs.get("draft")),
                ("thought", chunk.additional_kwargs.get(REASONING)),
                ("answer", chunk.text),
            ):
                if piece:
                    show(kind, str(piece))
            message = chunk if message is None else message + chunk
        way = message.response_metadata["latent_agent"]
        cut = message.response_metadata["finish_reason"] == "length"
        return Reply(text=message.text, cut=cut, way=way, id=way["answer_id"])

    def rate(self, answer: Reply, said: Said) -> str:
        """Keep what is said of an answer in the memory."""
        if answer.id is None:
            why = (answer.way or {}).get("memory_error") or "there is no memory"
            raise LatentAgentError(
                f"an answer must have been kept to be rated, but this one was not ({why}); ask "
                "with a memory"
            )
        given: dict[str, Any] = {"comment": said.comment, "correction": said.correction}
        rating = self._chat.feedback(answer.id, said.score, **given)
        return rated_text(rating.reward, said, pending=rating.pending)

    def close(self) -> None:
        """Release the model."""
        self._chat.close()

    def question_of(self, trace: int) -> str | None:
        """Return the question of a recalled trace."""
        memory = open_memory(self._chat.memory, self._chat.memory_mode)
        try:
            stored = None if memory is None else memory.get(trace)
        except LatentMemoryError:  # it is only shown beside the answer
            return None
        return None if stored is None else stored.trace.query


def _doing(show: Show) -> Any:
    """Return a listener to a call's events."""

    def listen(event: str, details: Mapping[str, Any]) -> None:
        if event == "draft":
            show("drafted", str(details["text"]))
        if doing := doing_text(event, details):
            show("doing", doing)

    return listen
