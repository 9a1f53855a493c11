"""The configuration that every family shares. One source of defaults: a field's description is its ``--help``.

A family's own settings are a subclass of `Config` in its recipe. The whole resolves to one flat tree, so that
``--set loss=hinge``, ``--set optim.g.lr=1e-3`` and ``--set data.fit=pad`` all name a place in it.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Settings(BaseModel):
    """Base of all settings: unknown names are errors, and a record never changes once it is made."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """A setting that a subclass gives another default keeps its description."""
        super().__pydantic_init_subclass__(**kwargs)
        for base in cls.__mro__[1:]:
            for name, inherited in getattr(base, "model_fields", {}).items():
                own = cls.model_fields[name]
                own.description = own.description or inherited.description


class DataConfig(Settings):
    """Which images, and how they become squares."""

    source: str = "builtin:fashion"
    """builtin:fashion, builtin:emoji, a folder, zip, tar, IDX, .npy/.npz file, fashion-mnist, or hf:NAME"""
    resolution: int | None = Field(None, ge=8, le=1024)
    """side of the square the networks see, a power of two; by default fitted to the data (28 becomes 32), at most 64"""
    to: str | None = None
    """the images that those of `source` are to become, for families that translate; by default trainA and trainB in
    `source`, or else the right halves of its images"""
    targets: Literal["none", "unpaired", "paired"] = "none"
    """whether images are to become others: of another kind, or each its own by the same name; a family says which"""
    captions: bool = False
    """whether every image must have a caption, in metadata.csv or metadata.jsonl; a family says whether"""
    fit: Literal["auto", "crop", "pad", "stretch", "tiles"] = "auto"
    """how an image becomes a square: auto pads what is slightly smaller than the square and crops the rest; tiles cuts
    it up, as large as it is, into at most `tiles` squares"""
    tiles: int = Field(100, ge=1)
    """with fit=tiles: most squares that an image is cut into, a tenth of them flat ones"""
    channels: Literal[1, 3, 4] | None = None
    """1 grey, 3 RGB, 4 RGBA; by default 1 if every image is grey, else 3 (transparency is put on white)"""
    holdout: float = Field(0.1, ge=0.0, le=0.5)
    """share of the images kept out of training to measure against, where the data has no test split of its own"""
    duplicates: Literal["keep", "drop"] = "keep"
    """whether an image that is there several times, with the same label, is used as often, or once"""
    mirror: bool = False
    """whether images are mirrored, left to right, by chance; of a pair both: twice the data, where left and right say
    nothing"""
    shift: float = Field(0.0, ge=0.0, lt=0.5)
    """by how much of their side images are moved at most, any way, by chance; of a pair both. Edges are reflected"""


class TrainConfig(Settings):
    """How long, how, and what is kept on the way."""

    kimg: float | None = Field(None, gt=0)
    """length of the run in thousands of real images; 200 where minutes are not given either"""
    minutes: float | None = Field(None, gt=0)
    """length of the run in minutes: as many images as its speed lets fit, which is measured before and underway"""
    batch: int = Field(32, ge=2)
    """images a step"""
    seed: int = Field(0, ge=0, lt=2**63)
    """the same seed, length in images, machine and number of threads give the same weights, on a CPU bit for bit"""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps"""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 for the adversarial forward passes where that is faster (GPUs, AMX, AMD's AVX512-BF16);
    penalties are always fp32"""
    frames: int = Field(40, ge=0)
    """sample grids of the fixed latents made during the run, denser at its start; they become the film"""
    evaluations: int = Field(4, ge=0)
    """quick Fréchet distances (on 1,000 samples) taken during the run; the best checkpoint is kept by them"""
    start: str | None = None
    """a run whose networks this one begins with, or one of its checkpoints (gansmith adapt); by default they are new"""
    patience: int = Field(0, ge=0)
    """evaluations without a better one after which the run ends, with the networks of the best; after half as many all
    learning rates are halved. They go by the kernel distance to held-out images, where there are any; 0 is off"""
    samples: int | None = Field(None, ge=0)
    """samples that the finished run is measured by; by default 2,000, or of grey images as many as are held out, at
    most 10,000; 0 leaves the measuring out"""
    looks: int = Field(40, ge=0)
    """looks of the doctor at the game during the run, denser at its start (gansmith diagnose); 0 is none"""
    checkpoint_seconds: float = Field(60.0, gt=0)
    """time between checkpoints: what a crash can cost at most"""
    keep: int = Field(2, ge=1)
    """how many checkpoints are kept, beside the best"""

    @model_validator(mode="after")
    def _one_length(self) -> TrainConfig:
        if self.kimg is not None and self.minutes is not None:
            raise ValueError("give kimg or minutes, not both")
        return self

    @property
    def images(self) -> int:
        """Length of a run whose length is not given in minutes, in images."""
        return round(1000 * (200.0 if self.kimg is None else self.kimg))


class OptimConfig(Settings):
    """One player's optimiser."""

    kind: Literal["adam", "rmsprop", "sgd"] = "adam"
    """adam (Kingma & Ba 2015), rmsprop (Hinton 2012; WGAN's choice), sgd"""
    lr: float = Field(2e-4, gt=0)
    """learning rate"""
    beta1: float = Field(0.5, ge=0, lt=1)
    """adam's average of gradients; momentum of the others"""
    beta2: float = Field(0.999, ge=0, lt=1)
    """adam's average of squared gradients; rmsprop's smoothing"""
    decay: Literal["constant", "linear", "cosine"] = "constant"
    """how the learning rate falls over the run"""
    lr_end: float = Field(0.0, ge=0)
    """where `decay` leads to at the end of the run"""
    beta2_end: float | None = Field(None, ge=0, lt=1)
    """adam's beta2 at the end of the run, reached by a cosine (Huang 2024, app. D); by default constant"""
    warm_up: float = Field(0.0, ge=0, lt=1)
    """share of the run over which the learning rate rises from 0 (Goyal 2017)"""
    clip: float = Field(0.0, ge=0)
    """longest gradient of all the player's weights together; a longer one is scaled down (Pascanu 2013); 0 is off"""


class EmaConfig(Settings):
    """The average of the generator's weights that samples are made with."""

    half_life_kimg: float = Field(10.0, gt=0)
    """thousands of images after which a weight counts half (Karras 2018, sec. A.1, states it as a decay per step)"""
    ramp_up: float = Field(0.05, gt=0)
    """the half-life is at most this share of the images seen so far (Karras 2020)"""


class Config(Settings):
    """A run, fully resolved. A family's recipe subclasses this and adds its own settings."""

    family: str
    """name of the family: gansmith families lists them"""
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()
    ema: EmaConfig = EmaConfig()

    def settled(self) -> Self:
        """The settings with what they leave to the machine decided."""
        return self

    @property
    def optimisers(self) -> dict[str, OptimConfig]:
        """Each player's, by its name in ``optim``, which every family has."""
        return {name: config for name, config in getattr(self, "optim", ()) if isinstance(config, OptimConfig)}
