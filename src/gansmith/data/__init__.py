"""Images, from wherever they are to packed uint8 arrays that a batch can be gathered from.

- `dataset`: `open_data`, the way in; `Dataset`, `Split` and `Pairs`, what comes out
- `check`: `check_data`, what is wrong with the images, without training on them
- `sources/`: where images come from, one file a kind; all give the same `Source`
- `layout`, `metadata`: what folder names and metadata tables say of each image (split, label, caption)
- `domains`: where two kinds of images lie, of which one is to become the other, and which belong together
- `captions`: what captions tell the networks
- `picture`, `geometry`, `tiles`: from any mode and size to a uint8 square, or many
- `store`: decoded once into a memory map in the cache folder, and opened from there
- `builtin/`: the data sets inside the wheel, with their licences
"""

from gansmith.data.check import Fault, Report, check_data
from gansmith.data.dataset import Dataset, Pairs, Split, open_data

__all__ = ["Dataset", "Fault", "Pairs", "Report", "Split", "check_data", "open_data"]
