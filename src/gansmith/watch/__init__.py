"""What ails a game in training, by its own figures.

- `space`, `signals`: what can be measured at one moment
- `look`: one moment of a game, measured
- `doctor`: in anybody's own loop
"""
