"""Images, from wherever they are to packed uint8 arrays that a batch can be gathered from.

- `dataset`: `open_data`, the way in; `Dataset` and `Split`, what comes out
- `check`: `check_data`, what is wrong with the images, without training on them
- `sources/`: where images come from, one file a kind; all give the same `Source`
- `layout`, `metadata`: what folder names and metadata tables say of each image (split, label, caption)
- `picture`, `geometry`: from any mode and size to a uint8 square
- `store`: decoded once into a memory map in the cache folder, and opened from there
- `builtin/`: the data sets inside the wheel, with their licences
"""

from gansmith.data.check import Fault, Report, check_data
from gansmith.data.dataset import Dataset, Split, open_data

__all__ = ["Dataset", "Fault", "Report", "Split", "check_data", "open_data"]
