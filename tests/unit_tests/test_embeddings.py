"""LangChain's standard unit tests of embeddings."""

from typing import Any

from langchain_tests.unit_tests import EmbeddingsUnitTests

from latent_agent import LatentSeekEmbeddings


class TestLatentSeekEmbeddings(EmbeddingsUnitTests):
    """On the bundled model."""

    @property
    def embeddings_class(self) -> type[LatentSeekEmbeddings]:
        return LatentSeekEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": "bundled"}
