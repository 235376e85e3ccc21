"""The operations that move weights; the conventions are those of `operations`."""

from typing import Protocol

from snnr.kernels.hints import Hints, Memory


class Updates(Protocol):
    """Every update by name; a backend has a plain function for each."""

    # Optimizers: flat or shaped arrays of one layout, in place. What may differ from step to step
    # is rates[P, 4], float64, a row for each parameter: step_size, inv_sqrt_c2, prior, mu.
    # step_size = lr/c1 (the plain form: lr) and inv_sqrt_c2 = 1/sqrt(c2) carry Adam's bias
    # correction; step_size*prior is made in float64 and then rounded, as each of them is, to the
    # dtype of w. counts[3], int64: the nonzero weights after the step, and added to it how many
    # became 0 and how many left 0.

    def adam_step(
        self, w: Memory, g: Memory, m: Memory, v: Memory, rates: Memory, row: int, beta1: float,
        beta2: float, eps: float, counts: Memory | None = None,
    ) -> None:  # fmt: skip
        """Adam (Kingma & Ba, ICLR 2015)."""

    def grad_r_start(self, w: Memory, theta: Memory, sign: Memory, key: int) -> None:
        """theta = |w|, sign int8 = the sign of w; where w is 0 it is drawn: +1 where bit 31 of the
        word of element i is set, else -1, with Philox as in `dropout_mask`, counter 0."""

    def grad_r_believe(self, w: Memory, theta: Memory, sign: Memory) -> None:
        """Where a weight was set by hand, so that it is not sign*max(theta, 0): theta = |w|, sign =
        that of w (kept where w is 0)."""

    def grad_r_step(
        self, w: Memory, theta: Memory, sign: Memory, g: Memory, m: Memory, v: Memory,
        rates: Memory, row: int, beta1: float, beta2: float, eps: float, counts: Memory,
    ) -> None:  # fmt: skip
        """theta -= sign*Adam + step_size*prior*signum(theta - mu), then w = sign*max(theta, 0)
        (Chen et al., IJCAI 2021)."""

    def grad_r_sgd_step(
        self, w: Memory, theta: Memory, sign: Memory, g: Memory, rates: Memory, row: int,
        counts: Memory,
    ) -> None:  # fmt: skip
        """theta -= step_size*sign*g + step_size*prior*signum(theta - mu), then as
        `grad_r_step`."""

    # Weights of which few are there: w is not 0 where there is a connection. counts as above, and
    # counts[0] is trusted on entry. A connection that gets no value of its own weighs
    # `rules.TINY`. Magnitudes are ordered as their bits are: NaN is the largest; of equal ones the
    # first in memory goes before.

    def masked_adam_step(
        self, w: Memory, g: Memory, m: Memory, v: Memory, rates: Memory, row: int, beta1: float,
        beta2: float, eps: float, counts: Memory, hints: Hints | None = None,
    ) -> None:  # fmt: skip
        """`adam_step` where w is not 0; elsewhere nothing is read of g, m and v. A weight that
        would become 0 becomes TINY with the sign it had: the connections stay the same. g may be
        packed. `hints` are those of the weight after the step."""

    def forget_absent(self, w: Memory, m: Memory, v: Memory) -> None:
        """m = v = 0 where w is 0."""

    def replace_connected(self, w: Memory, values: Memory) -> None:
        """w = values where w is not 0, or TINY with the sign of w where values is 0."""

    def count_magnitudes(self, w: Memory, level: int, prefix: int, bins: Memory) -> None:
        """bins[d], int64 [65536] = entries of w whose digit number `level` is d and whose digits
        before it are those of `prefix`. The digits of an entry are the bits of |w|, each inverted
        but the sign's, 16 at a time from the top: large entries have small digits."""

    def keep_largest(self, w: Memory, keep: int, counts: Memory) -> None:
        """w = 0 but for the `keep` entries (all, if there are fewer) of the largest |w|."""

    def grow_random(
        self, w: Memory, total: int, key: int, rates: Memory, row: int, counts: Memory,
        sign: Memory | None = None,
    ) -> None:  # fmt: skip
        """Random entries that are 0 become TINY, until counts[0] is `total`, at most the size of w,
        which is below 2**32. Their sign is that of `sign`, int8, or random.

        Draws 0, 1, ... are made one after the other; one that is no 0 any more is passed over. Draw
        i has words 2*(i % 2) and the next, high and low, of the Philox block with the counter (i //
        2, rates[row, 2]) and the key: their `rules.place`; the sign is + where low is odd.
        """

    def grow_largest(self, w: Memory, g: Memory, total: int, counts: Memory) -> None:
        """The entries that are 0 with the largest |g| become TINY with the sign of -g (+ where g is
        0 or NaN), until counts[0] is `total`, at most the size of w."""

    # Deep R and STDS. rates[row, 2:] is n and lr for Deep R, where n counts the steps of the
    # parameter, and the threshold d for STDS. noise[i] of step n is standard normal: block i // 4
    # of four Philox words has the counter (i // 4, n); `rules.gaussians` makes the numbers of the
    # first two elements of a block from its first two words, those of the others from the others.
    # temperature*sqrt(lr)*noise is made in float64, and then rounded.

    def deep_r_believe(self, w: Memory, sign: Memory) -> None:
        """sign int8 = that of w, kept where w is 0."""

    def deep_r_step(
        self, w: Memory, sign: Memory, g: Memory, m: Memory, v: Memory, rates: Memory, row: int,
        beta1: float, beta2: float, eps: float, l1: float, temperature: float, lost: float,
        key: int, counts: Memory, hints: Hints | None = None,
    ) -> None:  # fmt: skip
        """Bellec et al., ICLR 2018. Where w is not 0: theta = |w| - sign*Adam - lr*l1 +
        temperature*sqrt(lr)*noise, then w = sign*theta; where theta is not above 0, w = sign*`lost`
        and m = v = 0. Elsewhere nothing is read of g, m and v. g may be packed; `hints`
        have the pattern of before the step. `grow_random` may follow."""

    def soft_deep_r_step(
        self, w: Memory, theta: Memory, sign: Memory, g: Memory, m: Memory, v: Memory,
        rates: Memory, row: int, beta1: float, beta2: float, eps: float, l1: float,
        temperature: float, lowest: float, key: int, counts: Memory,
    ) -> None:  # fmt: skip
        """The same, soft. Where theta > 0: theta -= sign*Adam + lr*l1; everywhere: theta +=
        temperature*sqrt(lr)*noise, and no less than `lowest`; then w = sign*max(theta, 0). g is not
        looked at where theta <= 0 before the step, m and v become 0 where it is so afterwards."""

    def stds_believe(self, w: Memory, theta: Memory, d: float) -> None:
        """Where a weight was set by hand, so that it is not sign(theta)*max(|theta| - d, 0): theta
        = w + sign(w)*d, with sign(0) = 0."""

    def stds_step(
        self, w: Memory, theta: Memory, g: Memory, m: Memory, v: Memory, rates: Memory, row: int,
        beta1: float, beta2: float, eps: float, counts: Memory,
    ) -> None:  # fmt: skip
        """Chen et al., ICML 2022; the row goes on with d. theta -= Adam, then w =
        sign(theta)*max(|theta| - d, 0)."""
