"""What kernels of several files are made of."""
