"""What a service answers under load, and its peers in the same run, on the same processors as the load itself.

    python benchmarks/serving.py                       # minilm serve against FastAPI + sentence-transformers
    python benchmarks/serving.py --infinity COMMAND    # and against infinity, by the path of its command
    python benchmarks/serving.py --restarts            # seconds from `kill -9` to ready again

The load is the official OpenAI client in a process of its own: one short text a request with 1, 16 and 64 in flight,
and 8 clients of 64 texts. Where `wrk` is installed, it loads our service with 64 in flight too, costing next to
nothing itself, and the rate is compared with the library's own on the same texts.

`--texts sentences` (the default) are the short ones of `compare.py`, about as long as each other; `--texts pieces` are
5 to 10 words cut out of running text, code and tables, and the longest has ten times the usual tokens. `--rounds N` (3)
and `--seconds N` (8) say how often and how long; `--precision` may be repeated.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from services import TEXTS, Service, load_texts, running, services

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.cpu import thread_budget
from minilm_retrieval.model_files import find_model

_LOADS = {"1 in flight": (1, 1), "16 in flight": (16, 1), "64 in flight": (64, 1), "8 x 64 texts": (8, 64)}
_HERE = Path(__file__).parent
_LIBRARY_TEXTS = 2640
_RESTARTS = 5


def main() -> None:
    """Run the measurement that the command line asks for."""
    parser = argparse.ArgumentParser(description="Measure the service and its peers under load.")
    parser.add_argument("--infinity", help="path of infinity's command")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--texts", choices=TEXTS, default=TEXTS[0])
    parser.add_argument("--precision", action="append")
    parser.add_argument("--restarts", action="store_true")
    options = parser.parse_args()
    threads = thread_budget().threads
    compared = services(find_model().directory, threads, options.infinity, options.precision or ["float32"])
    if options.restarts:
        restarts(next(iter(compared.values())))
        return
    results: dict[str, dict[str, list[dict[str, float]]]] = {name: {} for name in compared}
    for number in range(options.rounds):
        print(f"round {number + 1}:", flush=True)
        for name, service in compared.items():
            with running(service) as (base, _):
                for load, (in_flight, texts) in _LOADS.items():
                    figures = _official_client(base, options.texts, in_flight, texts, options.seconds)
                    results[name].setdefault(load, []).append(figures)
                    print(f"  {name}, {load}: {_told(figures)}", flush=True)
    _summarise(results)
    if wrk := shutil.which("wrk"):
        for name, service in compared.items():
            if name.startswith("minilm"):
                _light(name, service, wrk, threads, options)


def restarts(service: Service) -> None:
    """Kill the service while it works, start it again, and print how long it takes to be ready."""
    times = []
    for _ in range(_RESTARTS + 1):
        started = time.perf_counter()
        with running(service) as (base, process):
            times.append(time.perf_counter() - started)
            _official_client(base, TEXTS[0], 4, 1, 0.2)
            process.send_signal(signal.SIGKILL)
            process.wait()
    print(f"ready after {median(times[1:]):.2f} s, median of {', '.join(f'{each:.2f}' for each in times[1:])}")


def _official_client(base: str, kind: str, in_flight: int, texts: int, seconds: float) -> dict[str, float]:
    command = [sys.executable, str(_HERE / "openai_load.py"), base, kind, str(in_flight), str(texts), str(seconds)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    figures: dict[str, float] = json.loads(output)
    return figures


def _light(name: str, service: Service, wrk: str, threads: int, options: argparse.Namespace) -> None:
    """Compare the service under a load that costs nothing itself with the library, on the same texts."""
    texts = load_texts(options.texts)
    embedder = MiniLMEmbedder(precision=name.split(", ")[1], threads=threads)
    embedder.encode(texts)
    shares, rates = [], []
    for _ in range(options.rounds):
        alone = _library_rate(embedder, texts)
        with running(service) as (base, _), tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            bodies = ",\n".join(json.dumps(json.dumps({"input": text, "encoding_format": "base64"})) for text in texts)
            script.write(
                f"local bodies = {{\n{bodies}\n}}\nlocal next = 0\n"
                'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
                "request = function()\n  next = next % #bodies + 1\n"
                "  return wrk.format(nil, nil, nil, bodies[next])\nend\n"
                'done = function(summary)\n  io.write(string.format("RATE %f %d\\n", '
                "summary.requests / summary.duration * 1e6, summary.errors.status + summary.errors.timeout))\nend\n"
            )
            script.flush()
            command = [wrk, "-t1", "-c64", f"-d{options.seconds:g}s", "-s", script.name, f"{base}/embeddings"]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        rate, errors = next(line.split()[1:] for line in output.splitlines() if line.startswith("RATE"))
        if errors != "0":
            raise RuntimeError(f"wrk saw {errors} errors:\n{output}")
        rates.append(float(rate))
        shares.append(rates[-1] / alone)
        print(
            f"  {name}, wrk with 64 in flight: {rates[-1]:.0f}/s, library {alone:.0f}/s ({shares[-1]:.1%})", flush=True
        )
    print(f"{name} under wrk: median {median(rates):.0f}/s, {median(shares):.1%} of the library's own")


def _library_rate(embedder: MiniLMEmbedder, texts: list[str]) -> float:
    """Return texts a second of some calls one after the other, since identical texts of one call are computed once."""
    calls = max(1, _LIBRARY_TEXTS // len(texts))
    started = time.perf_counter()
    for _ in range(calls):
        embedder.encode(texts)
    return calls * len(texts) / (time.perf_counter() - started)


def _told(figures: dict[str, float]) -> str:
    return f"{figures['rate']:.0f} texts/s, p50 {figures['p50']:.1f} ms, p99 {figures['p99']:.1f} ms"


def _summarise(results: dict[str, dict[str, list[dict[str, float]]]]) -> None:
    """Print medians, and the ratio of our rate to each peer's, the median of the rounds' ratios."""
    print("\nmedians:")
    for name, loads in results.items():
        for load, rounds in loads.items():
            print(f"  {name}, {load}: {_told({key: median(each[key] for each in rounds) for key in rounds[0]})}")
    ours = [name for name in results if name.startswith("minilm")]
    print("\ntimes a peer's rate:")
    for name in ours:
        for peer in (peer for peer in results if peer not in ours):
            for load in _LOADS:
                pairs = zip(results[name][load], results[peer][load], strict=True)
                ratio = median(mine["rate"] / theirs["rate"] for mine, theirs in pairs)
                print(f"  {name} to {peer}, {load}: {ratio:.2f}")


if __name__ == "__main__":
    main()
