"""What a game in training shows of itself, by which what ails it will be judged.

- `space`, `signals`: what can be measured at one moment
- `look`: one moment of a game, measured
- `doctor`: in anybody's own loop
"""
