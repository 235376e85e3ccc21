"""What kernels of several files share."""
