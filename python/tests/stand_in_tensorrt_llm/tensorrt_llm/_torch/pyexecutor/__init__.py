"""STAND-IN for TensorRT-LLM: see README.md beside this package."""
