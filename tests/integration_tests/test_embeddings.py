"""LangChain's standard integration tests of embeddings."""

from typing import Any

from langchain_tests.integration_tests import EmbeddingsIntegrationTests

from latent_agent import LatentSeekEmbeddings


class TestLatentSeekEmbeddings(EmbeddingsIntegrationTests):
    """On the bundled model, without a network."""

    @property
    def embeddings_class(self) -> type[LatentSeekEmbeddings]:
        return LatentSeekEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": "bundled"}
