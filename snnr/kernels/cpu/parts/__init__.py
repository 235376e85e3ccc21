"""What the CPU kernels are made of: vector code, rows, panels, event lists, transpose, matmul."""
