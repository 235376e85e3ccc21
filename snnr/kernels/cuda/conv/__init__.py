"""Convolution, as a product of tiles whose operands nobody writes down."""
