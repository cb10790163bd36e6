"""Training: the networks' losses and steps, what a run logs and saves, devices and workers."""
