"""Playing a game. ``step``: one step of any game. ``session``: all that a running game consists of, as one tree of
state. ``planning``: how long a run will be. ``loop``: from that to a finished run directory. ``rundir`` and
``checkpoint``: what is on disk. ``judge``: what a run is measured by underway. ``feed``: batches. ``optim``, ``ema``,
``runtime``: how nets change and where. ``observers``: who watches.
"""
