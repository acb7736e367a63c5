"""LangChain's standard unit tests of a chat model."""

from typing import Any

from langchain_tests.unit_tests import ChatModelUnitTests

from latent_agent import ChatLatentSeek


class TestChatLatentSeek(ChatModelUnitTests):
    """On the bundled model."""

    @property
    def chat_model_class(self) -> type[ChatLatentSeek]:
        return ChatLatentSeek

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "bundled", "memory": None}
