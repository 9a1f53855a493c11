"""The command line: parsing and printing only. Results go to stdout, everything else to stderr.

Nothing here imports torch before a command needs it, so that help answers at once.
"""
