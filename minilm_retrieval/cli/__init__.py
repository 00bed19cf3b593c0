"""The command ``minilm``: parse, call, print."""
