"""NumPy oracle of every kernel: slow, obvious, and what the fast backends are tested against.

Outputs are preallocated by the caller and fully overwritten; results have the dtype of the output.
"""

from collections.abc import Callable
from typing import Any

from snnr.kernels.reference import conv, input, linear, neuron, norm, optim, pool, shape

#: operation name -> function
OPERATIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        linear.matmul,
        linear.linear,
        linear.linear_input_grad,
        linear.linear_weight_grad,
        linear.bias_grad,
        conv.conv2d,
        conv.conv2d_input_grad,
        conv.conv2d_weight_grad,
        norm.batch_norm_stats,
        norm.batch_norm,
        norm.batch_norm_grad,
        norm.norm_lif_input_grad,
        neuron.lif,
        neuron.lif_grad,
        neuron.lif_potential,
        neuron.lif_pool,
        neuron.lif_pool_grad,
        pool.max_pool,
        pool.max_pool_grad,
        pool.avg_pool,
        pool.avg_pool_grad,
        shape.mask_time,
        shape.swap_last,
        optim.adam_step,
        optim.grad_r_step,
        optim.grad_r_sgd_step,
        input.normalise,
        input.random_affine,
        input.crop_flip,
    )
}
