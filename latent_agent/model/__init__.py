"""The frozen LM: loading, prompts, cached decoding, batching, sampling, the LM head."""
