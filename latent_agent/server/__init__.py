"""The OpenAI-compatible server: HTTP around one chat model, and who may ask it for what."""
