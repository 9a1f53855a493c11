"""Networks: no losses, no training. ``blocks``: parts; one file per architecture; `pairs` finds a pair by name."""
