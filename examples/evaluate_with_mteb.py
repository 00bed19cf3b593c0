"""Run tasks of MTEB with this engine: here two small ones with data of their own, so that nothing is downloaded.

Needs `pip install "minilm-retrieval[mteb]"`. Any task of texts works the same way, such as
`mteb.evaluate(MiniLMEncoder(), mteb.get_tasks(["STSBenchmark", "NFCorpus"]))`: mteb downloads them, and keeps results
in its cache.
"""

from __future__ import annotations

from typing import Any

import mteb
from datasets import Dataset
from mteb.abstasks import AbsTaskRetrieval
from mteb.abstasks.sts import AbsTaskSTS
from mteb.abstasks.task_metadata import TaskMetadata

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.evaluation.mteb import MiniLMEncoder

PAIRS = [
    ("A man is playing a guitar.", "Someone plays the guitar.", 4.5),
    ("A cat sleeps on the sofa.", "A cat is lying on a couch.", 4.2),
    ("The train was late again.", "Our train did not arrive on time.", 4.0),
    ("A woman is slicing an onion.", "A woman cuts vegetables.", 3.2),
    ("Two children play in the snow.", "A dog runs through the snow.", 1.6),
    ("He reads the newspaper.", "The stock market fell on Monday.", 0.4),
]
CORPUS = {
    "break": ("The break statement", "It ends the nearest enclosing loop, and skips the else clause of that loop."),
    "continue": ("The continue statement", "It goes on with the next cycle of the nearest enclosing loop."),
    "raise": ("The raise statement", "It raises an exception, which a try statement may handle."),
    "global": ("The global statement", "It makes names refer to variables of the module."),
}
QUERIES = {"q1": "How do I leave a loop early?", "q2": "signal an error", "q3": "assign to a module's variable"}
ANSWERS = {"q1": {"break": 2, "continue": 1}, "q2": {"raise": 1}, "q3": {"global": 1}}


def described(name: str, kind: str, score: str) -> TaskMetadata:
    """Return what MTEB wants to know about a task."""
    return TaskMetadata(
        name=name,
        description="A few texts of this example.",
        dataset={"path": "none", "revision": "none"},
        type=kind,
        category="t2t",
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score=score,
    )


class SmallSTS(AbsTaskSTS):
    """Pairs of sentences with how alike they are, from 0 to 5."""

    metadata = described("SmallSTS", "STS", "cosine_spearman")

    def load_data(self, **options: Any) -> None:
        """Make the data, in place of downloading them."""
        rows = [{"sentence1": one, "sentence2": other, "score": score} for one, other, score in PAIRS]
        self.dataset = {"test": Dataset.from_list(rows)}
        self.data_loaded = True


class SmallRetrieval(AbsTaskRetrieval):
    """A few statements of Python, and questions about them."""

    metadata = described("SmallRetrieval", "Retrieval", "ndcg_at_10")

    def load_data(self, **options: Any) -> None:
        """Make the data, in place of downloading them."""
        corpus = [{"id": id, "title": title, "text": text} for id, (title, text) in CORPUS.items()]
        split = {
            "corpus": Dataset.from_list(corpus),
            "queries": Dataset.from_list([{"id": id, "text": text} for id, text in QUERIES.items()]),
            "relevant_docs": ANSWERS,
            "top_ranked": None,
        }
        self.dataset = {"default": {"test": split}}
        self.data_loaded = True


def main() -> None:
    """Evaluate two precisions on both tasks, and print the main scores."""
    for precision in ("float32", "int8"):
        model = MiniLMEncoder(MiniLMEmbedder(precision=precision))
        # Without a cache every task is run; with mteb's own, results are kept and taken from there.
        results = mteb.evaluate(model, [SmallSTS(), SmallRetrieval()], cache=None, show_progress_bar=False)
        for result in results.task_results:
            print(f"{model.mteb_model_meta.name}  {result.task_name}: {result.get_score():.3f}")


if __name__ == "__main__":
    main()
