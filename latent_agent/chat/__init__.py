"""LangChain adapters: chat model, LLM, embeddings, retriever, runnable; no logic of the method."""
