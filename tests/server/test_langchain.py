"""LangChain's standard suites of chat models, through ChatOpenAI, against a server."""

from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langchain_tests.integration_tests import ChatModelIntegrationTests

from tests.support.served import QUESTION, Served

KEY: Any = "none"  # a text will do, whatever the type says
UNABLE = {
    "test_unicode_tool_call_integration": "the bundled model copies no long word of another script",
}


def chat(server: Served, **given: Any) -> ChatOpenAI:
    return ChatOpenAI(model="bundled", base_url=server.base, api_key=KEY, **given)


def test_a_chat_model_of_langchain_streams_and_keeps_what_is_ours(server: Served) -> None:
    model = chat(server, max_retries=0, extra_body={"latent_agent": {"namespace": "ann"}})
    message = model.invoke(QUESTION)
    assert "Friday" in message.text
    assert message.usage_metadata is not None
    assert "".join(chunk.text for chunk in model.stream(QUESTION)) == message.text


def test_embeddings_of_langchain(server: Served) -> None:
    """Texts are sent as they are: another's tokens mean nothing to this model."""
    embeddings = OpenAIEmbeddings(
        model="bundled", base_url=server.base, api_key=KEY, check_embedding_ctx_length=False
    )
    rows = embeddings.embed_documents([QUESTION, "Hello."])
    assert len(rows) == 2
    assert embeddings.embed_query(QUESTION) == pytest.approx(rows[0], rel=1e-5)


@pytest.mark.slow
class TestChatOpenAI(ChatModelIntegrationTests):
    """On the bundled model."""

    @pytest.fixture(autouse=True)
    def _url(self, server: Served, request: pytest.FixtureRequest) -> None:
        self.base_url = server.base
        if reason := UNABLE.get(request.node.originalname):
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "bundled", "api_key": KEY, "max_tokens": 128}

    @pytest.fixture
    def model(self, request: Any) -> BaseChatModel:
        given = {**self.standard_chat_model_params, **self.chat_model_params}
        extra = getattr(request, "param", None) or {}
        return ChatOpenAI(base_url=self.base_url, **{**given, **extra})

    @property
    def supports_json_mode(self) -> bool:
        return True
