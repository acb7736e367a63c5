"""``/v1/embeddings``: the vectors that the memory recalls by."""

import base64
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends

from latent_agent.chat.embeddings import LatentSeekEmbeddings
from latent_agent.model.prompt import encode_text
from latent_agent.server.access import Access
from latent_agent.server.errors import ApiError
from latent_agent.server.keys import Key, Right
from latent_agent.server.requests import EmbeddingsRequest
from latent_agent.server.service import Service
from latent_agent.server.turns import Turns

# pyright: reportUnusedFunction=false


def embeddings(service: Service, access: Access, turns: Turns) -> APIRouter:
    """Return the route that embeds texts."""
    router, chat = APIRouter(tags=["embeddings"]), service.chat
    asking = access.asker(Right.ASK)
    opened = chat.load_options.given
    embedder = LatentSeekEmbeddings(model=chat.model, tokenizer=chat.tokenizer, **opened)

    @router.post("/v1/embeddings")
    def embed(key: Annotated[Key, Depends(asking)], sent: EmbeddingsRequest) -> dict[str, Any]:
        """Embed texts by the model's own hidden states."""
        access.check_model(sent.model)
        texts = [sent.input] if isinstance(sent.input, str) else sent.input
        _check(service, texts)
        with turns.turn(key):
            rows = embedder.embed_documents(texts)
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
    if sent.encoding_format == "float":
        return row
    return base64.b64encode(np.asarray(row, dtype="<f4").tobytes()).decode()
