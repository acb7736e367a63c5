"""LangChain's standard integration tests of a chat model."""

from typing import Any

from langchain_tests.integration_tests import ChatModelIntegrationTests

from latent_agent import ChatLatentSeek
from latent_agent.teaching import model_path


class TestChatLatentSeek(ChatModelIntegrationTests):
    """On the bundled model, without a network."""

    @property
    def chat_model_class(self) -> type[ChatLatentSeek]:
        return ChatLatentSeek

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "bundled", "memory": None, "max_tokens": 128}

    @property
    def model_override_value(self) -> str:
        return str(model_path())

    @property
    def supports_json_mode(self) -> bool:
        return True
