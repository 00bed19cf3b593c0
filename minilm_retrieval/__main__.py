"""The command ``minilm``, which ``python -m minilm_retrieval`` is too."""

import sys


def run() -> None:
    """Run the command line; Ctrl-C ends it in the same way while its modules are still loading."""
    try:
        from minilm_retrieval.cli.main import run as run_commands

        run_commands()
    except KeyboardInterrupt:
        if sys.stderr is not None:
            sys.stderr.write("minilm: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    run()
