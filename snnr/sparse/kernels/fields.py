"""Columns of the tables that the kernels walk, and what stands in them; see `snnr.sparse.plan`."""

# what an operation is
NEURONS, PIXELS, POOLING = range(3)
# what a buffer holds: floats of a static input, floats by time step, spikes
STATIC, FLOATS, BITS = range(3)
# columns of a table
(
    OP, IN_KIND, IN_AT, IN_PITCH, IN_CHANNELS, IN_START, IN_PLANE, IN_WIDE, STEP_Y, STEP_X,
    OUT_KIND, OUT_AT, OUT_PITCH, OUT_START, OUT_PLANE, OUT_WIDE, CHANNELS, HEIGHT, WIDTH,
    ROWS, COLUMNS, RUNS, RUN_AT, PLACES, AFFINE, NEURON, THETA, STATE, POOL, AVERAGE, VOTE,
    SCRATCH, ROOM, BLOCK, ACROSS, FIELDS,
) = range(36)  # fmt: skip

#: time steps up to which the spikes under a constant current are looked up
PERIODIC = 64
#: images of a group up to which a convolution of spikes walks rows of pixels, and their widest
FEW_IMAGES = 8
WIDEST_ROW = 64
