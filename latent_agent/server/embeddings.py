"""``/v1/embeddings``: the vectors that the memory recalls by."""

import base64
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Request

from latent_agent.chat.embeddings import LatentSeekEmbeddings
from latent_agent.chat.threads import in_thread
from latent_agent.model.prompt import encode_text
from latent_agent.server.access import Access
from latent_agent.server.call import unless_gone
from latent_agent.server.errors import ApiError
from latent_agent.server.keys import Key, Right
from latent_agent.server.requests import EmbeddingsRequest
from latent_agent.server.service import Service
from latent_agent.server.turns import Turns

# pyright: reportUnusedFunction=false
_AT_ONCE = 16


def embeddings(service: Service, access: Access, turns: Turns) -> APIRouter:
    """Return the route that embeds texts."""
    router, chat = APIRouter(tags=["embeddings"]), service.chat
    asking = access.asker(Right.ASK)
    opened = chat.load_options.given
    embedder = LatentSeekEmbeddings(model=chat.model, tokenizer=chat.tokenizer, **opened)

    async def embedded(texts: Sequence[str]) -> list[list[float]]:
        rows: list[list[float]] = []
        for first in range(0, len(texts), _AT_ONCE):  # between these it can be stopped
            some = list(texts[first : first + _AT_ONCE])
            rows += await in_thread(embedder.embed_documents, some)
        return rows

    @router.post("/v1/embeddings")
    async def embed(
        request: Request, key: Annotated[Key, Depends(asking)], sent: EmbeddingsRequest
    ) -> dict[str, Any]:
        """Embed texts by the model's own hidden states."""
        access.check_model(sent.model)
        texts = _texts(sent)
        _check(service, texts)
        with turns.turn(key):
            rows = await unless_gone(request, embedded(texts))
        if sent.dimensions not in (None, len(rows[0])):
            raise ApiError(
                400,
                f"dimensions must be {len(rows[0])}, which this model's vectors have, got "
                f"{sent.dimensions}; leave it out",
                "invalid_value",
                param="dimensions",
            )
        tokens = sum(len(encode_text(service.shared.tokenizer, text)) for text in texts)
        return {
            "object": "list",
            "model": sent.model,
            "data": [
                {"object": "embedding", "index": at, "embedding": _written(row, sent)}
                for at, row in enumerate(rows)
            ],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }

    return router


def _texts(sent: EmbeddingsRequest) -> list[str]:
    given = [sent.input] if isinstance(sent.input, str) else sent.input
    texts = [one for one in given if isinstance(one, str)]
    if len(texts) < len(given):
        raise ApiError(
            400,
            "input must be texts, got token ids, which are another model's; send texts "
            "(check_embedding_ctx_length=False in LangChain's OpenAIEmbeddings)",
            "invalid_value",
            param="input",
        )
    return texts


def _check(service: Service, texts: list[str]) -> None:
    if not 1 <= len(texts) <= service.bounds.texts or not all(texts):
        raise ApiError(
            400,
            f"input must be 1 to {service.bounds.texts} texts, none of them empty, got "
            f"{len(texts)}; send fewer at a time",
            "invalid_value",
            param="input",
        )
    if sum(map(len, texts)) > service.bounds.characters:
        raise ApiError(
            413,
            f"texts must have at most {service.bounds.characters:,} characters together; send "
            "fewer at a time",
            "prompt_too_long",
            param="input",
        )


def _written(row: list[float], sent: EmbeddingsRequest) -> Any:
    if sent.encoding_format != "base64":
        return row
    return base64.b64encode(np.asarray(row, dtype="<f4").tobytes()).decode()
