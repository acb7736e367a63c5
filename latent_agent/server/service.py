"""What a server serves: a chat model, its memory, who may ask, and how much."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from latent_agent.server.keys import Keys

if TYPE_CHECKING:
    from latent_agent.chat.chat_model import ChatLatentSeek
    from latent_agent.model.registry import SharedModel
    from latent_memory import LatentMemory


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The most that a request may ask for; what is beyond is refused.

    Attributes:
        seconds: A request may take, those of waiting included; it answers with the best so far.
        tokens: Of an answer, each of ``n``.
        iterations: Rounds of the search.
        width: Sets of latents of a round, and sampled drafts.
        answers: To one conversation (``n``).
        texts: Of one request for embeddings.
        body: Bytes of a request.
        characters: Of a prompt: all messages, tools and schemas together.
    """

    seconds: float = 120.0
    tokens: int = 4096
    iterations: int = 10
    width: int = 8
    answers: int = 8
    texts: int = 256
    body: int = 2_000_000
    characters: int = 400_000


@dataclass(frozen=True, kw_only=True)
class Service:
    """What a server serves.

    Attributes:
        chat: Answers; the arguments that a request does not give are its own.
        memory: Where it remembers; None: nowhere.
        keys: Who may ask; None: whoever is on this machine may do everything.
        bounds: The most that a request may ask for.
        model: The model's name, as requests give it.
        origins: Web pages from elsewhere that a browser may let ask (CORS).
        keep_alive: Seconds of silence in a stream after which it says that it is at work.
        nights: Cron expression of its nights; None: they run elsewhere, or not at all.
        if_new: New traces that make a night due.
    """

    chat: "ChatLatentSeek"
    memory: "LatentMemory | None"
    keys: Keys | None = None
    bounds: Bounds = field(default_factory=Bounds)
    model: str = "bundled"
    origins: tuple[str, ...] = ()
    keep_alive: float = 10.0
    nights: str | None = None
    if_new: int = 20

    @property
    def shared(self) -> "SharedModel":
        """The model, which all of the server shares."""
        chat = self.chat
        return chat.held_models.open(chat.model, chat.tokenizer, chat.load_options)
