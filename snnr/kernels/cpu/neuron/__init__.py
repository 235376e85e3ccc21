"""Spiking neurons: `step` for a block at one time step, `sequence` over time, `pooled` with 2x2
max pooling behind it (`window`: four neighbours in registers; `lanes`: the rules on registers)."""
