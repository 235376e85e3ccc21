"""Numba kernels on all CPU cores, one file per operation family."""

from collections.abc import Callable
from typing import Any

from snnr.kernels.cpu import (
    augment,
    conv,
    gemm,
    layout,
    linear,
    neuron,
    neuron_pool,
    norm,
    optim,
    pool,
)

#: operation name -> function
OPERATIONS: dict[str, Callable[..., Any]] = {
    "matmul": gemm.matmul,
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
    "lif": neuron.lif,
    "lif_grad": neuron.lif_grad,
    "lif_potential": neuron.lif_potential,
    "lif_pool": neuron_pool.lif_pool,
    "lif_pool_grad": neuron_pool.lif_pool_grad,
    "max_pool": pool.max_pool,
    "max_pool_grad": pool.max_pool_grad,
    "avg_pool": pool.avg_pool,
    "avg_pool_grad": pool.avg_pool_grad,
    "mask_time": pool.mask_time,
    "swap_last": layout.swap_last,
    "adam_step": optim.adam_step,
    "grad_r_step": optim.grad_r_step,
    "grad_r_sgd_step": optim.grad_r_sgd_step,
    **augment.OPERATIONS,
}
