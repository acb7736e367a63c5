"""Hugging Face transformers as an engine: the reference."""
