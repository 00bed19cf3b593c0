"""``python -m minilm_retrieval`` is the command ``minilm``."""

from minilm_retrieval.cli.main import run

if __name__ == "__main__":
    run()
