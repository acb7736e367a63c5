"""The memory of `latent_agent`: traces in SQLite, with a FAISS index for recall.

This version keeps no memory yet, so this package is empty. It will know arrays, not models:
it imports neither torch nor LangChain, and never `latent_agent`.
"""
