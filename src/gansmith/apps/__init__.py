"""What people do with GANs. ``configure``: a configuration from defaults, file and flags. ``run``: train, load, sample,
evaluate. ``adapt``: from a run to other data, of which there are few. ``export``: samples as files. ``describe``: what
a family's game consists of."""
