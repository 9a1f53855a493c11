"""The doctor: what ails a game in training, and what helps.

- `space`, `signals`, `look`: what a game shows at a moment
- `course`, `illnesses`, `verdicts`: what that comes to over time, as names with probabilities, evidence and cures
- `sick_data`: what is wrong with the data themselves
- `doctor`: in anybody's own loop
- `live`, `attend`: at the side of a run of `gansmith train`
"""

from gansmith.watch.doctor import Doctor
from gansmith.watch.verdicts import Verdict

__all__ = ["Doctor", "Verdict"]
