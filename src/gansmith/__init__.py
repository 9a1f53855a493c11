"""gansmith: train, diagnose, measure and use generative adversarial networks.

    import gansmith
    run = gansmith.train("dcgan", data="photos/", minutes=5)
    images = run.sample(64, seed=0)          # uint8 (64, H, W, C)

The rooms, lowest first (imports only go upwards): ``core`` (records and protocols), ``losses``, ``nets``, ``data``,
``metrics``, ``recipes`` (one file a family), ``training``, ``apps``, ``cli``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Run", "__version__", "load", "train", "verify"]

if TYPE_CHECKING:
    from gansmith.apps.run import Run, load, train
    from gansmith.apps.verify import verify


def __getattr__(name: str) -> Any:
    # Importing torch takes 1.5 s; `gansmith --help` and `import gansmith` must not pay for it.
    if name in ("Run", "load", "train"):
        return getattr(import_module("gansmith.apps.run"), name)
    if name == "verify":
        return import_module("gansmith.apps.verify").verify
    raise AttributeError(f"module 'gansmith' has no attribute {name!r}")
