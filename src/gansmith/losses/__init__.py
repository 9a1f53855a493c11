"""What the players of a game pay: pure functions of tensors, each with its paper.

- `adversarial`: what D and G pay for D's logits; `LOSSES` by name, and one-sided label smoothing of any of them.
- `penalties`: what D pays for the size of its gradients, and weight clipping; `PENALTIES` by name.
- `reconstruction`: what an autoencoder pays for what it did not give back; `RECONSTRUCTIONS` by name.
"""
