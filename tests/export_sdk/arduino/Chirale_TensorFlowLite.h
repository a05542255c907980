/* API double of an Arduino library: its header, which brings TensorFlow Lite Micro into the search path. See ../README.md. */
