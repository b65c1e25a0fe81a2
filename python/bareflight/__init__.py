"""bareflight: benchmark of engines for large language models, in process and served."""
