"""Scores of generated images: pure functions of two feature sets, extractors, and the evaluation that joins them.
Of images that have one to be compared with: pure functions of pairs, and a perceptual distance. Of scores of two kinds
of images: ``ranking`` (the area under the ROC curve).

``features`` (extractors by name), ``frechet``, ``kernel``, ``prdc`` (precision, recall, density, coverage),
``intervals`` (bootstrap), ``reference`` (real images, cached), ``evaluation`` and ``scores`` (the record and its
protocol); ``pairs`` (PSNR, SSIM and their record), ``perceptual`` (networks by name). ``fashion_cnn`` is the network
whose weights lie in ``weights/``.
"""

from gansmith.metrics.evaluation import LEAST, MAX_TRIVIAL, METRICS, evaluate, remember
from gansmith.metrics.features import Extractor, default_extractor, extractor
from gansmith.metrics.frechet import Moments, frechet_distance, frechet_from_moments
from gansmith.metrics.intervals import bootstrap_interval
from gansmith.metrics.kernel import kernel_distance
from gansmith.metrics.pairs import PairScores, colour_histogram_distance, psnr, psnr_y, score_pairs, ssim
from gansmith.metrics.perceptual import PerceptualNet, distance_of, perceptual_net
from gansmith.metrics.perceptual import available as perceptual_net_here
from gansmith.metrics.prdc import coverage, density, precision, recall
from gansmith.metrics.ranking import auroc
from gansmith.metrics.reference import Reference
from gansmith.metrics.scores import Difference, Protocol, Score, Scores, compare

__all__ = [
    "LEAST",
    "MAX_TRIVIAL",
    "METRICS",
    "Difference",
    "Extractor",
    "Moments",
    "PairScores",
    "PerceptualNet",
    "Protocol",
    "Reference",
    "Score",
    "Scores",
    "auroc",
    "bootstrap_interval",
    "colour_histogram_distance",
    "compare",
    "coverage",
    "default_extractor",
    "density",
    "distance_of",
    "evaluate",
    "extractor",
    "frechet_distance",
    "frechet_from_moments",
    "kernel_distance",
    "perceptual_net",
    "perceptual_net_here",
    "precision",
    "psnr",
    "psnr_y",
    "recall",
    "remember",
    "score_pairs",
    "ssim",
]
