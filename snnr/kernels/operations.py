"""The operations of every backend: name, arguments, shapes and meaning, written down here, once.

Conventions
-----------
Memory is an array of the backend, C-contiguous, in kernel layout: rows ``[.., C]``, images
channels-last ``[.., H, W, C]``, linear weights ``[in, out]``, conv weights ``[kh, kw, in, out]``.
Whoever is above `kernels` uses of it only ``shape``, ``ndim``, ``size``, ``dtype``, ``nbytes`` and
``reshape``. T counts time steps, N images, R rows (whatever shares a channel), M what is left over.

One floating dtype per call, that of the output; uint8 memory holds spikes, 0 or 1. Outputs are
allocated by the caller and fully written unless the text says "adds to". What is absent is None.
Numbers that nobody needs at once (losses, counts) are written to memory of one or few elements.

A product with an absent spike is no product: it passes over the weight, also one that is not
finite. Elsewhere NaN and infinity in activations reach the result through weights that are not
zero; through those that are zero they may or may not. Arguments are trusted: shapes and dtypes are
checked by the callers above.
"""

from typing import Protocol

from snnr.kernels.hints import Hints, Memory, Packed
from snnr.kernels.rules import Neuron

Pair = tuple[int, int]


class Operations(Protocol):
    """Every operation by name; a backend has a plain function for each. Those that move weights are
    in `updates`."""

    # Arithmetic and shape

    def accumulate(self, part: Memory, total: Memory) -> None:
        """total += part, of one shape and dtype."""

    def add(self, a: Memory, b: Memory, out: Memory) -> None:
        """out = a + b; spikes become floats."""

    def multiply(self, a: Memory, b: Memory, out: Memory) -> None:
        """out = a * b; of two spikes the product is a spike where out is uint8."""

    def scale(self, x: Memory, factor: float, out: Memory) -> None:
        """out = factor * x; out may be x."""

    def subtract(self, a: Memory, b: Memory, out: Memory) -> None:
        """out = a - b, all floats."""

    def divide(self, a: Memory, b: Memory, out: Memory) -> None:
        """out = a / b, all floats; by 0 it is infinite or NaN."""

    def power(self, x: Memory, exponent: float, out: Memory) -> None:
        """out = x ** exponent, floats; NaN where that is no real number."""

    def sum_axes(self, x: Memory, out: Memory) -> None:
        """out = sum of x over the axes that have length 1 in out; as many axes as x has."""

    def total(self, x: Memory, out: Memory) -> None:
        """out[()] = sum of all elements."""

    def spread(self, value: Memory, out: Memory) -> None:
        """out = value[()] everywhere."""

    def reorder(self, x: Memory, axes: tuple[int, ...], out: Memory) -> None:
        """out = x with its axes in another order, as `numpy.transpose`."""

    def stretch(self, x: Memory, out: Memory) -> None:
        """out = x, repeated along the axes that have length 1 in x; as many axes as x has."""

    def window(
        self, x: Memory, first: tuple[int, ...], step: tuple[int, ...], out: Memory,
    ) -> None:  # fmt: skip
        """out[i, j, ...] = x[first[0] + i*step[0], first[1] + j*step[1], ...]; a step may be
        negative."""

    def window_grad(
        self, dy: Memory, first: tuple[int, ...], step: tuple[int, ...], dx: Memory,
    ) -> None:  # fmt: skip
        """dx = dy at the places that `window` takes, 0 elsewhere."""

    def mean_time(self, x: Memory, out: Memory) -> None:
        """out[M] = mean of x[T, M] over T: the sum in the dtype of out, divided by T."""

    def mean_time_grad(self, dy: Memory, dx: Memory) -> None:
        """dx[T, M] = dy[M] / T."""

    def voting(self, x: Memory, group: int, out: Memory) -> None:
        """out[R, C] = mean of each `group` neighbours of x[R, C*group]."""

    def voting_grad(self, dy: Memory, group: int, dx: Memory) -> None:
        """dx[R, C*group] = dy[R, C] / group, repeated."""

    def mask_time(self, x: Memory, mask: Memory, factor: float, out: Memory) -> None:
        """out[T, M] = x[T, M] * mask[M] * factor; mask uint8. Spikes stay spikes where factor is 1
        and out is uint8; out may be x."""

    def dropout_mask(self, key: int, counter: Memory, p: float, out: Memory) -> None:
        """out[...] uint8 = 1 with probability 1 - p, by Philox 4x32-10 (Salmon et al., SC 2011).

        Block b of four words has the 128-bit counter (counter[0] + b, 0) as two 64-bit halves and
        the 64-bit `key`; element i takes word i % 4 of block i // 4 and is 1 where the word is at
        least ``round(p * 2**32)``. `counter`, one uint64, is left advanced by `philox_blocks`
        of out's size, mod 2**64: where the next mask starts.
        """

    # Dense layers and convolution

    def matmul(self, a: Memory, b: Memory, out: Memory) -> None:
        """out[M, N] = a[M, K] @ b[K, N]."""

    def linear(
        self, x: Memory, w: Memory, bias: Memory | None, out: Memory, scale: float = 1.0,
        hints: Hints | None = None,
    ) -> None:  # fmt: skip
        """out[R, O] = scale * x[R, K] @ w[K, O] + bias[O]; x float or spikes."""

    def linear_input_grad(
        self, dy: Memory, w: Memory, dx: Memory, scale: float = 1.0, hints: Hints | None = None,
    ) -> None:  # fmt: skip
        """dx[R, K] = scale * dy[R, O] @ w[K, O].T; zero where `hints.needed` is zero."""

    def linear_weight_grad(
        self, x: Memory, dy: Memory, dw: Memory, scale: float = 1.0, hints: Hints | None = None,
    ) -> None:  # fmt: skip
        """dw[K, O] = scale * x[R, K].T @ dy[R, O]; a packed dw is that where w is not zero."""

    def bias_grad(self, dy: Memory, db: Memory) -> None:
        """db[O] = column sums of dy[R, O]."""

    def conv2d(
        self, x: Memory, w: Memory, bias: Memory | None, stride: Pair, padding: Pair, out: Memory,
        hints: Hints | None = None,
    ) -> None:  # fmt: skip
        """out[N, H', W', O] = x[N, H, W, C] * w[kh, kw, C, O] + bias[O], cross-correlation;
        x float or spikes."""

    def conv2d_input_grad(
        self, dy: Memory, w: Memory, stride: Pair, padding: Pair, dx: Memory,
        hints: Hints | None = None,
    ) -> None:  # fmt: skip
        """dx[N, H, W, C] from dy[N, H', W', O]."""

    def conv2d_weight_grad(
        self, x: Memory, dy: Memory, stride: Pair, padding: Pair, dw: Memory,
        hints: Hints | None = None,
    ) -> None:  # fmt: skip
        """dw[kh, kw, C, O] from x[N, H, W, C] and dy[N, H', W', O]; or packed."""

    # The same in groups: output channel o reads the input channels of its group alone, of which
    # there are C/groups; groups divides C and O

    def grouped_conv2d(
        self, x: Memory, w: Memory, bias: Memory | None, stride: Pair, padding: Pair, groups: int,
        out: Memory,
    ) -> None:  # fmt: skip
        """out[N, H', W', O] = x[N, H, W, C] * w[kh, kw, C/groups, O] + bias[O]; x float or
        spikes."""

    def grouped_conv2d_input_grad(
        self, dy: Memory, w: Memory, stride: Pair, padding: Pair, groups: int, dx: Memory,
    ) -> None:  # fmt: skip
        """dx[N, H, W, C] from dy[N, H', W', O]."""

    def grouped_conv2d_weight_grad(
        self, x: Memory, dy: Memory, stride: Pair, padding: Pair, groups: int, dw: Memory,
    ) -> None:  # fmt: skip
        """dw[kh, kw, C/groups, O] from x[N, H, W, C] and dy[N, H', W', O]."""

    # Gradients of the surviving weights alone

    def packed_gradient(self, w: Memory, hints: Hints) -> Packed | None:
        """Room for the gradient of w where it is not zero now, to be given as `dw` to the products
        above; None where the backend rather makes all of it. `copy` makes a whole of it, in which
        the rest is 0, and `all_finite` takes it as it is."""

    def keep_survivors(self, w: Memory, x: Memory) -> None:
        """x = 0 where w is 0, both of one shape."""

    # BatchNorm (Ioffe & Szegedy, ICML 2015)

    def batch_norm_stats(self, x: Memory, mean: Memory, var: Memory) -> None:
        """mean[C] and biased var[C] of x[R, C]."""

    def update_running(
        self, mean: Memory, var: Memory, rows: int, momentum: float, running_mean: Memory,
        running_var: Memory,
    ) -> None:  # fmt: skip
        """running += momentum * (batch - running), the variance as rows/(rows - 1) * var."""

    def fold_norm(
        self, mean: Memory, var: Memory, scale: Memory, shift: Memory, eps: float, inv_std: Memory,
        gain: Memory, offset: Memory,
    ) -> None:  # fmt: skip
        """inv_std = 1/sqrt(var + eps) (in float64, rounded once), gain = scale*inv_std,
        offset = shift - mean*gain, each [C]."""

    def batch_norm(self, x: Memory, gain: Memory, offset: Memory, out: Memory) -> None:
        """out[R, C] = gain[C]*x + offset[C]."""

    def batch_norm_grad(
        self, x: Memory, dy: Memory, mean: Memory, inv_std: Memory, scale: Memory, dscale: Memory,
        dshift: Memory, dx: Memory,
    ) -> None:  # fmt: skip
        """Backward pass in training mode: mean and inv_std are those of the batch x[R, C]."""

    def batch_norm_eval_grad(
        self, x: Memory, dy: Memory, mean: Memory, inv_std: Memory, gain: Memory, dscale: Memory,
        dshift: Memory, dx: Memory,
    ) -> None:  # fmt: skip
        """The same with statistics that do not depend on x."""

    def norm_lif_input_grad(
        self, x: Memory, dz: Memory, mean: Memory, inv_std: Memory, scale: Memory, sum_dz: Memory,
        sum_dzx: Memory, dscale: Memory, dshift: Memory,
    ) -> None:  # fmt: skip
        """`batch_norm_grad` in place on dz[R, C], from the sums that the neurons' backward pass
        made: sum_dz[C] and sum_dzx[C] (of dz*x)."""

    def norm_lif_eval_grad(
        self, dz: Memory, mean: Memory, inv_std: Memory, gain: Memory, sum_dz: Memory,
        sum_dzx: Memory, dscale: Memory, dshift: Memory,
    ) -> None:  # fmt: skip
        """`batch_norm_eval_grad` in place on dz[R, C], from the same sums."""

    # Neurons. The input current is z = gain[C]*x + offset[C] (None: x itself); x[1, R, C] is the
    # same at every step. `held` [T, R, C] float replaces the spikes in the reset and is constant
    # for the gradient. `start` [R, C] are the potentials before the first step (None: v_reset, or
    # 0 for the soft reset), constant for the gradient.

    def lif(
        self, x: Memory, gain: Memory | None, offset: Memory | None, neuron: Neuron,
        held: Memory | None, out: Memory, start: Memory | None = None, end: Memory | None = None,
    ) -> None:  # fmt: skip
        """Spikes out[T, R, C]: uint8, or float where `neuron.smooth`; end[R, C] = the potentials
        after the last step, where it is given (it may be `start`)."""

    def lif_grad(
        self, x: Memory, gain: Memory | None, offset: Memory | None, neuron: Neuron,
        held: Memory | None, dout: Memory, dz: Memory, sum_dz: Memory | None = None,
        sum_dzx: Memory | None = None, start: Memory | None = None,
    ) -> None:  # fmt: skip
        """dz[.., R, C] of the shape of x, from dout[T, R, C]; and, where they are given, its sums
        per channel (also times x)."""

    def lif_potential(
        self, x: Memory, gain: Memory | None, offset: Memory | None, neuron: Neuron, out_v: Memory,
        start: Memory | None = None,
    ) -> None:  # fmt: skip
        """Potential after the reset, out_v[T, R, C], for inspection."""

    def lif_pool(
        self, x: Memory, gain: Memory, offset: Memory, neuron: Neuron, out: Memory, index: Memory,
    ) -> None:  # fmt: skip
        """Spikes of x[.., N, H, W, C], max-pooled 2x2 to out[T, N, H//2, W//2, C] uint8; index is
        the row-major position (0..3) of the first maximum in its window, uint8."""

    def lif_pool_grad(
        self, x: Memory, gain: Memory, offset: Memory, neuron: Neuron, index: Memory, dout: Memory,
        dz: Memory, sum_dz: Memory, sum_dzx: Memory,
    ) -> None:  # fmt: skip
        """Backward of `lif_pool`: dz of the shape of x, and its sums as in `lif_grad`."""

    # Pooling, channels-last, no padding, floor mode

    def max_pool(self, x: Memory, size: int, stride: int, out: Memory, index: Memory) -> None:
        """out[N, H', W', C] = maximum of each window (NaN if it has one) and the row-major position
        of the first one, index uint8."""

    def max_pool_grad(
        self, dy: Memory, index: Memory, size: int, stride: int, dx: Memory,
    ) -> None:  # fmt: skip
        """dx[N, H, W, C]: each dy goes to the maximum of its window; windows may overlap."""

    def avg_pool(self, x: Memory, size: int, stride: int, out: Memory) -> None:
        """out[N, H', W', C] float = mean of each window."""

    def avg_pool_grad(self, dy: Memory, size: int, stride: int, dx: Memory) -> None:
        """dx[N, H, W, C]: each dy spread evenly over its window."""

    # Losses

    def mse(self, x: Memory, target: Memory, difference: Memory, out: Memory) -> None:
        """difference = x - target; out[()] = mean of its squares."""

    def mse_grad(self, difference: Memory, grad: Memory, dx: Memory) -> None:
        """dx = grad[()] * 2/size * difference."""

    def cross_entropy(self, x: Memory, labels: Memory, probability: Memory, out: Memory) -> None:
        """probability[N, C] = softmax of x[N, C]; out[()] = mean of -log probability of the
        labels[N], int64."""

    def cross_entropy_grad(
        self, probability: Memory, labels: Memory, grad: Memory, dx: Memory,
    ) -> None:  # fmt: skip
        """dx = grad[()]/N * (probability - one-hot)."""

    def one_hot(self, labels: Memory, out: Memory) -> None:
        """out[N, C] = 1 at each of labels[N], int64, else 0."""

    # Questions; the answer stays in memory until somebody asks

    def all_finite(self, x: Memory, flag: Memory) -> None:
        """flag[0] uint8 becomes 0 if x has a value that is not finite, and stays what it was if
        not."""

    def count_correct(self, rate: Memory, labels: Memory, count: Memory) -> None:
        """Adds to count[0], int64, the rows of rate[N, C] whose first maximum is at labels[N]."""

    def count_spikes(self, spikes: Memory, count: Memory) -> None:
        """Adds to count[M], int64, the spikes of each neuron in spikes[R, M]."""

    def count_present(self, x: Memory, count: Memory, graded: Memory) -> None:
        """Adds to count[T, M], int64, the entries of each column of x[T, R, M], float, that are not
        0; graded[t], uint8, becomes 1 if x[t] has one that is neither -1, 0 nor 1, and stays what
        it was if not."""

    def count_nonzero(self, x: Memory, count: Memory) -> None:
        """count[0], int64 = how many entries of x are not zero."""

    # Input: images uint8 or float32 [M, C, H, W] in memory, index int64 [N], mean and std float32
    # [C], out float32 [N, H, W, C]

    def normalise(
        self, images: Memory, index: Memory, mean: Memory, std: Memory, out: Memory,
    ) -> None:  # fmt: skip
        """out = (images[index] / 255 - mean) / std; float32 images are not divided by 255."""

    def random_affine(
        self, images: Memory, index: Memory, matrix: Memory, mean: Memory, std: Memory,
        out: Memory,
    ) -> None:  # fmt: skip
        """Each output pixel takes the uint8 input pixel that its centre falls into under the map
        matrix[N, 6] about the image's centre, or 0 outside; then normalised."""

    def crop_flip(
        self, images: Memory, index: Memory, dy: Memory, dx: Memory, flip: Memory, mean: Memory,
        std: Memory, out: Memory,
    ) -> None:  # fmt: skip
        """The window at (dy, dx), int64 [N], of the image in a frame of zeros, mirrored left to
        right where flip[N] uint8; then normalised."""
