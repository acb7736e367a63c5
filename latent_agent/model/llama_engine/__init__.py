"""llama.cpp as an engine, through llama-cpp-python's low-level module, which mirrors llama.h."""
