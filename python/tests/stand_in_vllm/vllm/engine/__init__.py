"""STAND-IN for vLLM: see README.md beside this package."""
