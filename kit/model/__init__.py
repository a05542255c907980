"""The float autoencoder and its training. Importing a module of this package imports TensorFlow."""
