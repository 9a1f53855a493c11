"""What people do with GANs. ``configure``: a configuration from defaults, file and flags. ``run``: train, load, sample,
evaluate. ``export``: samples as files. ``describe``: what a family's game consists of."""
