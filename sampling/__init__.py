"""Sampling: noise, images drawn from it, rejection, and paths through the latent space."""
