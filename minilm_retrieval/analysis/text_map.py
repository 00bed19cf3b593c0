"""A map of texts: points near each other say similar things."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from minilm_retrieval.analysis.clustering import Clustering
from minilm_retrieval.analysis.coloring import Coloring, color_by_cluster, color_by_field, one_color
from minilm_retrieval.analysis.drawing import save_picture
from minilm_retrieval.analysis.map_page import map_figure
from minilm_retrieval.analysis.map_picture import map_drawing
from minilm_retrieval.analysis.pictures import check_picture_file, is_page, save_page
from minilm_retrieval.analysis.projection import project
from minilm_retrieval.analysis.texts import EmbeddedTexts, check_fields
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import InvalidOptionError

_METHOD_NAMES = {"tsne": "t-SNE", "pca": "PCA"}


@dataclass(frozen=True, eq=False)
class TextMap:
    """Texts with a place and a colour each.

    Attributes:
        texts: What is drawn.
        positions: Shape ``(n, 2)``, float32.
        method: What laid them out: ``"tsne"`` or ``"pca"``.
        coloring: Their colours.
        title: Of the picture.
        hover: Fields of the metadata that a page shows with a text.
    """

    texts: EmbeddedTexts
    positions: FloatArray
    method: str
    coloring: Coloring
    title: str
    hover: tuple[str, ...] = ()

    @property
    def subtitle(self) -> str:
        """How many texts, laid out how, coloured by what."""
        count = f"{len(self.texts):,} {'text' if len(self.texts) == 1 else 'texts'}"
        by = f" \u00b7 coloured by {self.coloring.title}" if self.coloring.title else ""
        return f"{count} \u00b7 {_METHOD_NAMES[self.method]}{by}"

    @property
    def point_size(self) -> float:
        """Diameter of a point in pixels: the more, the smaller."""
        return float(min(max(40 * max(len(self.texts), 1) ** -0.25, 2.5), 9.0))

    @property
    def opacity(self) -> float:
        """Of a point, from 0 to 1: where many lie, what is below shows."""
        return 0.85 if len(self.texts) <= 10_000 else 0.6

    def save(self, file: str | os.PathLike[str]) -> None:
        """Write an interactive page that needs no network (.html) or a picture (.png, .svg, .pdf).

        Raises:
            InvalidOptionError: The name ends in something else.
            DocumentError: The file cannot be written.
            MissingExtraError: plotly or matplotlib is not installed.
        """
        check_picture_file(file)
        if is_page(file):
            save_page(map_figure(self), file)
        else:
            save_picture(lambda: map_drawing(self), file)


def map_texts(
    texts: EmbeddedTexts,
    method: str = "auto",
    *,
    color_by: str | None = None,
    clustering: Clustering | None = None,
    hover: Sequence[str] = (),
    title: str = "Map of texts",
    seed: int = 0,
    threads: int | None = None,
    show_progress: bool = False,
) -> TextMap:
    """Lay texts out in two dimensions: see :func:`minilm_retrieval.analysis.projection.project`.

    Args:
        texts: What to draw.
        method: ``"tsne"``, ``"pca"``, or ``"auto"``.
        color_by: Field of the metadata: each of its most frequent values gets a colour; many different numbers get a
            scale of colours.
        clustering: Colour by cluster instead; see :func:`minilm_retrieval.analysis.cluster_texts`.
        hover: Fields of the metadata that a page shows with a text.
        title: Of the picture.
        seed: Of what is random.
        threads: How many threads to use; ``None`` for as many as this process may.
        show_progress: Show progress bars on standard error.

    Raises:
        InvalidOptionError: An option is out of range, or no text has such a field.
        MissingExtraError: scikit-learn or openTSNE is not installed.
    """
    if color_by is not None and clustering is not None:
        raise InvalidOptionError("Give either color_by or clustering, not both.")
    if isinstance(hover, str):
        raise InvalidOptionError(f"hover must be a list of fields, got the text {hover!r}.")
    if clustering is not None and len(clustering.labels) != len(texts):
        raise InvalidOptionError(f"The clustering is of {len(clustering.labels):,} texts, not of these {len(texts):,}.")
    hover = [field for field in hover if field != color_by]
    check_fields(texts.metadatas, hover)
    if color_by is not None:
        coloring = color_by_field(texts, color_by)
    else:
        coloring = one_color(len(texts)) if clustering is None else color_by_cluster(clustering)
    positions, used = project(texts.vectors, method, seed=seed, threads=threads, show_progress=show_progress)
    return TextMap(texts, positions, used, coloring, title, tuple(dict.fromkeys(hover)))
