"""What dense layers and convolution are made of: one product of tiles, and where operands lie."""
