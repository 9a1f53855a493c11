"""Playing a game. ``step``: one step of any game. ``session``: all that a running game consists of, as one tree of
state. ``loop``: from a configuration to a finished run directory. ``rundir`` and ``checkpoint``: what is on disk.
``feed``: batches. ``optim``, ``ema``, ``runtime``: how nets change and where. ``observers``: who watches.
"""
