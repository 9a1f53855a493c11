"""Records and protocols; imports nothing of ours.

``game``: what a GAN is. ``clock``: where a run stands. ``spec``: what the data tells the networks. ``config``: the
settings all families share. ``errors``: exit codes. ``paths``: where things live, and atomic writing.
"""
