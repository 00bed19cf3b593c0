"""The HTTP service: OpenAI's embeddings and vector-store search, and text-embeddings-inference's protocol."""

from minilm_retrieval.errors import MissingExtraError

try:
    from minilm_retrieval.server.app import create_app
    from minilm_retrieval.server.logs import set_up_logging
    from minilm_retrieval.server.options import ServerOptions, read_api_keys
    from minilm_retrieval.server.run import serve
except ImportError as error:
    raise MissingExtraError(error.name or "fastapi", "server") from error

__all__ = ["ServerOptions", "create_app", "read_api_keys", "serve", "set_up_logging"]
