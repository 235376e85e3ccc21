"""Kernels of compiled networks. The cache watches this folder, so that they use no other of snnr's
but `kernels`."""
