#!/bin/sh
# The server without any client: run "minilm serve", and then sh examples/clients/curl.sh
set -eu
server=${MINILM_URL:-http://localhost:8444/v1}

ask() {
    curl --silent --show-error --fail-with-body --header 'Content-Type: application/json' "$@"
    echo
}

ask "$server/models"
ask "$server/embeddings" --data '{"model": "all-MiniLM-L6-v2", "input": "A cat rests."}' | cut -c 1-160
ask "${server%/v1}/similarity" --data '{"inputs": {"source_sentence": "How long does a cat rest?",
    "sentences": ["Cats sleep for most of the day.", "The stock market fell on Monday."]}}'
