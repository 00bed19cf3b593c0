"""How good vectors are: judged similarity of sentences, and retrieval with judged answers."""
