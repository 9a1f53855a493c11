"""Where a run computes: precision by what the hardware is, and what is said of a device that is not there."""

from __future__ import annotations

import pytest
import torch

from gansmith.core import hardware
from gansmith.core.config import TrainConfig
from gansmith.core.errors import ConfigError
from gansmith.core.hardware import has_bf16
from gansmith.training.runtime import Runtime, find_device


@pytest.mark.parametrize(
    ("amx", "avx512", "amd", "pays"),
    [(True, True, False, True), (False, True, True, True), (False, True, False, False), (False, False, True, False)],
    ids=["Sapphire Rapids", "Zen 4", "Cooper Lake", "Zen 3"],
)
def test_bf16_by_what_the_processor_is(
    monkeypatch: pytest.MonkeyPatch, amx: bool, avx512: bool, amd: bool, pays: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(hardware, "is_amd", lambda: amd)
    assert has_bf16(torch.device("cpu")) == pays
    assert Runtime.of(TrainConfig(device="cpu")).autocasts == pays
    assert Runtime.of(TrainConfig(device="cpu", precision="bf16")).autocasts
    assert not Runtime.of(TrainConfig(device="cpu", precision="fp32")).autocasts


def test_an_unknown_device_is_named() -> None:
    with pytest.raises(ConfigError, match=r"train\.device: no device 'cuda:99' here; try auto or cpu"):
        find_device("cuda:99")
