"""GGUF files, the models of llama.cpp: finding, checking and reading them, without running them."""
