"""Scores of generated images: pure functions of two feature sets, extractors, and the evaluation that joins them.

``features`` (extractors by name), ``frechet``, ``kernel``, ``prdc`` (precision, recall, density, coverage),
``intervals`` (bootstrap), ``reference`` (real images, cached), ``evaluation`` and ``scores`` (the record and its
protocol). ``fashion_cnn`` is the network whose weights lie in ``weights/``.
"""

from gansmith.metrics.evaluation import LEAST, METRICS, evaluate
from gansmith.metrics.features import Extractor, default_extractor, extractor
from gansmith.metrics.frechet import Moments, frechet_distance, frechet_from_moments
from gansmith.metrics.intervals import bootstrap_interval
from gansmith.metrics.kernel import kernel_distance
from gansmith.metrics.prdc import coverage, density, precision, recall
from gansmith.metrics.reference import Reference
from gansmith.metrics.scores import Difference, Protocol, Score, Scores, compare

__all__ = [
    "LEAST",
    "METRICS",
    "Difference",
    "Extractor",
    "Moments",
    "Protocol",
    "Reference",
    "Score",
    "Scores",
    "bootstrap_interval",
    "compare",
    "coverage",
    "default_extractor",
    "density",
    "evaluate",
    "extractor",
    "frechet_distance",
    "frechet_from_moments",
    "kernel_distance",
    "precision",
    "recall",
]
