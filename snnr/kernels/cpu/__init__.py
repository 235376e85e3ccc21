"""Numba kernels on all CPU cores.

The map: which file an operation lives in, who chooses how it is done, and the ways it can go.

================================  ==================  ==============================================
operations                        chosen by           ways
================================  ==================  ==============================================
linear                            linear/choose       spikes: lists of active inputs
                                  (measured density   survivors: lists of surviving weights
                                  and connectivity)   bits: few outputs; parts/matmul: dense
linear_weight_grad                linear/choose       outer: lists of active inputs; bits;
                                                      sampled: of survivors; parts/matmul
linear_input_grad                 linear/choose       survivors; needed: past a dropout mask;
                                                      parts/matmul
matmul, bias_grad                 linear/choose       parts/matmul; column sums
conv2d, conv2d_weight_grad,       conv/choose         spikes: lists of active pixels
conv2d_input_grad                 (measured density,  survivors: lists of surviving weights
                                  connectivity,       sampled: gradients of survivors
                                  kernel and stride)  winograd, tiles: dense, stride 1
                                                      patches: any stride, few channels
grouped_conv2d, ...               conv/grouped        depthwise: one walk over rows; the ways of
                                                      conv/choose, group by group
lif, lif_grad, lif_potential      neuron/sequence     neuron/step: one block, one time step
lif_pool, lif_pool_grad           neuron/pooled       neuron/window: four pixels in registers
batch_norm..., norm_lif_...       norm
max_pool..., avg_pool...          pool
adam_step, grad_r_...             optim
masked_adam_step, keep_largest,   masked              a step on all cores, over lists where there
grow_...                                              are; selections on one
deep_r_..., soft_deep_r_step,     rewiring
stds_...
packed_gradient, keep_survivors   packed
normalise, random_affine, ...     input
mse..., cross_entropy..., one_hot loss                NumPy
all_finite, count_...             count
accumulate, add, mean_time, ...   arithmetic
dropout_mask, mask_time           dropout
reorder, stretch, window          shape               parts/transpose, or NumPy
================================  ==================  ==============================================

`memory` hands out arrays, `parts` is what the kernels are made of: vector code (`vector`,
`register_tile`, `square`, `gather`, `bits`), `rows`, `panels`, `events` (lists of spikes),
`transpose` and `matmul`. The equations of neurons and optimizers are those of
`snnr.kernels.rules`.
"""

from collections.abc import Callable
from typing import Any

from snnr.kernels.backend import OPERATIONS as NAMES
from snnr.kernels.cpu import (
    arithmetic,
    count,
    dropout,
    input,
    loss,
    masked,
    memory,
    norm,
    optim,
    packed,
    pool,
    rewiring,
    shape,
)
from snnr.kernels.cpu.conv import choose as conv
from snnr.kernels.cpu.conv import grouped
from snnr.kernels.cpu.linear import choose as linear
from snnr.kernels.cpu.neuron import pooled, sequence

_FILES = (
    memory, arithmetic, shape, dropout, linear, conv, grouped, norm, sequence, pooled, pool, loss,
    count, optim, masked, packed, rewiring, input,
)  # fmt: skip
#: operation name -> function
OPERATIONS: dict[str, Callable[..., Any]] = {
    name: vars(file)[name]
    for file in _FILES
    for name in NAMES
    if name in vars(file) and vars(file)[name].__module__ == file.__name__
}
