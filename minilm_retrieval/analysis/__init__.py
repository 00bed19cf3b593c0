"""What vectors are good for beside search: similarity, clusters, duplicates, and a map of them."""

from minilm_retrieval.analysis.clustering import Cluster, Clustering, check_clustering, cluster_texts
from minilm_retrieval.analysis.duplicates import DuplicatePair, Duplicates, find_duplicates
from minilm_retrieval.analysis.heatmap import check_heatmap, save_heatmap
from minilm_retrieval.analysis.matrix import check_matrix, save_matrix
from minilm_retrieval.analysis.pictures import check_picture_file, is_page
from minilm_retrieval.analysis.projection import check_projection, project
from minilm_retrieval.analysis.text_map import TextMap, map_texts
from minilm_retrieval.analysis.texts import EmbeddedTexts, embed_documents, texts_of_collection, texts_of_file
from minilm_retrieval.analysis.write_back import WriteBackReport, write_clusters

__all__ = [
    "Cluster",
    "Clustering",
    "DuplicatePair",
    "Duplicates",
    "EmbeddedTexts",
    "TextMap",
    "WriteBackReport",
    "check_clustering",
    "check_heatmap",
    "check_matrix",
    "check_picture_file",
    "check_projection",
    "cluster_texts",
    "embed_documents",
    "find_duplicates",
    "is_page",
    "map_texts",
    "project",
    "save_heatmap",
    "save_matrix",
    "texts_of_collection",
    "texts_of_file",
    "write_clusters",
]
