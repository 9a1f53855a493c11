"""What the hardware is good at."""

from __future__ import annotations

import platform
from pathlib import Path

import torch


def has_bf16(device: torch.device) -> bool:
    """Whether the hardware computes faster in bf16 than in fp32, by what it is: GPUs that have it, AMX, AMD's cores.

    Intel's AVX512-BF16 without AMX takes twice fp32's time. A stopwatch would say which, but not the same in every
    process, and so would cost the promise that a seed gives the same weights (LOG.md).
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    return torch.cpu._is_amx_tile_supported() or (torch.cpu._is_avx512_bf16_supported() and is_amd())


def is_amd() -> bool:
    """Whether this CPU is AMD's."""
    told = Path("/proc/cpuinfo")
    return "AuthenticAMD" in (told.read_text() if told.exists() else platform.processor())
