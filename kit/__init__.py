"""Embedded firmware generation kit for learned biosignal compression (RVQ autoencoder)."""

__version__ = "0.1.0"
