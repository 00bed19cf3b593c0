"""The service that people write first: FastAPI around sentence-transformers. Started by `serving.py`.

python benchmarks/plain_service.py MODEL_DIRECTORY PORT THREADS
"""

from __future__ import annotations

import base64
import sys
from typing import Any, Literal

import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Wanted(BaseModel):
    """OpenAI's request, as far as it is needed."""

    input: str | list[str]
    model: str
    encoding_format: Literal["float", "base64"] = "float"


def make_app(directory: str, threads: int) -> FastAPI:
    """Load the model, and make the application."""
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    model = SentenceTransformer(directory, device="cpu", local_files_only=True)
    app = FastAPI()

    @app.get("/v1/models")
    def models() -> dict[str, Any]:
        return {"object": "list", "data": []}

    @app.post("/v1/embeddings")
    def embeddings(wanted: Wanted) -> dict[str, Any]:
        texts = [wanted.input] if isinstance(wanted.input, str) else wanted.input
        vectors = np.asarray(model.encode(texts), dtype="<f4")
        rows = [
            base64.b64encode(vector.tobytes()).decode() if wanted.encoding_format == "base64" else vector.tolist()
            for vector in vectors
        ]
        data = [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows)]
        return {
            "object": "list",
            "data": data,
            "model": wanted.model,
            "usage": {"prompt_tokens": 0, "total_tokens": 0},
        }

    return app


if __name__ == "__main__":
    uvicorn.run(make_app(sys.argv[1], int(sys.argv[3])), host="127.0.0.1", port=int(sys.argv[2]), log_level="error")
