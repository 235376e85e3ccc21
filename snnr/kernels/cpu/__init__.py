"""Numba kernels on all CPU cores.

The map: which file an operation lives in, who chooses how it is done, and the ways it can go.

================================  ==================  ==============================================
operations                        chosen by           ways
================================  ==================  ==============================================
linear, linear_weight_grad        linear/choose       spikes: lists of active inputs
                                  (measured density   survivors: spikes and surviving weights
                                  and connectivity)   parts/matmul: dense
linear_input_grad                 linear/choose       survivors, parts/matmul
bias_grad                         linear/choose       column sums, in one way
conv2d, conv2d_weight_grad,       conv/choose         spikes: lists of active pixels
conv2d_input_grad                 (measured density,  survivors: lists of surviving weights
                                  connectivity,       winograd, tiles: dense, stride 1
                                  kernel and stride)  patches: any stride, few channels
lif, lif_grad, lif_potential      neuron/sequence     neuron/step: one block, one time step
lif_pool, lif_pool_grad           neuron/pooled       the same, four pixels side by side
batch_norm..., norm_lif_...       norm
max_pool..., avg_pool...          pool
adam_step, grad_r_step, ...       optim
normalise, random_affine, ...     input
mask_time, swap_last              shape
================================  ==================  ==============================================

`memory` hands out arrays, `parts` is what the kernels are made of: vector code (`vector`,
`register_tile`, `gather`, `bits`), `rows`, `panels`, `events` (lists of spikes), `transpose` and
`matmul`. The equations of neurons and optimizers are those of `snnr.kernels.rules`.
"""

from collections.abc import Callable
from typing import Any

from snnr.kernels.cpu import input, norm, optim, pool, shape
from snnr.kernels.cpu.conv import choose as conv
from snnr.kernels.cpu.linear import choose as linear
from snnr.kernels.cpu.neuron import pooled, sequence
from snnr.kernels.cpu.parts import matmul

#: operation name -> function
OPERATIONS: dict[str, Callable[..., Any]] = {
    "matmul": matmul.matmul,
    "linear": linear.linear,
    "linear_input_grad": linear.linear_input_grad,
    "linear_weight_grad": linear.linear_weight_grad,
    "bias_grad": linear.bias_grad,
    "conv2d": conv.conv2d,
    "conv2d_input_grad": conv.conv2d_input_grad,
    "conv2d_weight_grad": conv.conv2d_weight_grad,
    "batch_norm_stats": norm.batch_norm_stats,
    "batch_norm": norm.batch_norm,
    "batch_norm_grad": norm.batch_norm_grad,
    "norm_lif_input_grad": norm.norm_lif_input_grad,
    "lif": sequence.lif,
    "lif_grad": sequence.lif_grad,
    "lif_potential": sequence.lif_potential,
    "lif_pool": pooled.lif_pool,
    "lif_pool_grad": pooled.lif_pool_grad,
    "max_pool": pool.max_pool,
    "max_pool_grad": pool.max_pool_grad,
    "avg_pool": pool.avg_pool,
    "avg_pool_grad": pool.avg_pool_grad,
    "mask_time": shape.mask_time,
    "swap_last": shape.swap_last,
    "adam_step": optim.adam_step,
    "grad_r_step": optim.grad_r_step,
    "grad_r_sgd_step": optim.grad_r_sgd_step,
    "normalise": input.normalise,
    "random_affine": input.random_affine,
    "crop_flip": input.crop_flip,
}
