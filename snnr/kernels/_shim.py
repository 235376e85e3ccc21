# ruff: noqa
# mypy: ignore-errors
import numpy as np
from snnr.kernels import buffers


def philox(key, counter, n):
    M0, M1, W0, W1 = (np.uint64(v) for v in (0xD2511F53, 0xCD9E8D57, 0x9E3779B9, 0xBB67AE85))
    mask = np.uint64(0xFFFFFFFF)
    blocks = -(-n // 4)
    c = np.uint64(counter) + np.arange(blocks, dtype=np.uint64)
    c0, c1 = c & mask, c >> np.uint64(32)
    c2 = np.zeros(blocks, np.uint64)
    c3 = c2.copy()
    k0, k1 = np.uint64(key & 0xFFFFFFFF), np.uint64(key >> 32)
    for _ in range(10):
        p0, p1 = M0 * c0, M1 * c2
        c0, c1, c2, c3 = (
            (p1 >> np.uint64(32)) ^ c1 ^ k0,
            p1 & mask,
            (p0 >> np.uint64(32)) ^ c3 ^ k1,
            p0 & mask,
        )
        k0, k1 = (k0 + W0) & mask, (k1 + W1) & mask
    return np.stack([c0, c1, c2, c3], 1).reshape(-1)[:n].astype(np.uint32)


def wrap(ops):
    o = dict(ops)
    nothing = {np.dtype(k): np.zeros((0, 0, 0), k) for k in (np.float32, np.float64)}
    f = {
        k: o[k]
        for k in (
            "matmul",
            "bias_grad",
            "batch_norm_stats",
            "batch_norm",
            "batch_norm_grad",
            "norm_lif_input_grad",
            "max_pool",
            "max_pool_grad",
            "avg_pool",
            "avg_pool_grad",
            "mask_time",
            "random_affine",
            "crop_flip",
            "lif_pool",
            "lif_pool_grad",
        )
    }
    f["empty"] = buffers.empty
    f["zeros"] = buffers.zeros
    f["copy_in"] = np.ascontiguousarray
    f["copy_out"] = lambda m: m

    def write(a, out):
        out[...] = a

    f["write"] = write
    f["copy"] = write
    f["fill"] = lambda out, v: out.fill(v)

    def accumulate(p, t):
        t += p

    f["accumulate"] = accumulate

    def add(a, b, out):
        np.add(a, b, out=out, dtype=out.dtype)

    f["add"] = add
    f["multiply"] = lambda a, b, out: np.multiply(a, b, out=out)
    f["scale"] = lambda x, k, out: np.multiply(x, x.dtype.type(k), out=out)

    def total(x, out):
        out[...] = x.sum(dtype=out.dtype)

    f["total"] = total

    def spread(v, out):
        out[...] = v

    f["spread"] = spread

    def reorder(x, axes, out):
        out[...] = x.transpose(axes)

    f["reorder"] = reorder

    def mean_time(x, out):
        out[...] = x.sum(axis=0, dtype=out.dtype) / out.dtype.type(x.shape[0])

    f["mean_time"] = mean_time

    def mean_time_grad(dy, dx):
        dx[...] = dy / dy.dtype.type(dx.shape[0])

    f["mean_time_grad"] = mean_time_grad

    def voting(x, g, out):
        out[...] = x.reshape(x.shape[0], -1, g).sum(axis=-1, dtype=out.dtype) / out.dtype.type(g)

    f["voting"] = voting

    def voting_grad(dy, g, dx):
        dx[...] = np.repeat(dy / dy.dtype.type(g), g, axis=-1)

    f["voting_grad"] = voting_grad

    def dropout_mask(key, counter, p, out):
        out[...] = (
            philox(key, counter, out.size) >= np.uint32(min(round(p * 2**32), 2**32 - 1))
        ).reshape(out.shape)

    f["dropout_mask"] = dropout_mask

    def linear(x, w, b, out, scale=1.0, hints=None):
        o["linear"](
            x, w, b, out, scale, hints.connectivity if hints else 1.0, hints.call if hints else None
        )

    f["linear"] = linear

    def lig(dy, w, dx, scale=1.0, hints=None):
        o["linear_input_grad"](dy, w, dx, scale, hints.connectivity if hints else 1.0)
        if hints and hints.needed is not None:
            v = dx.reshape(-1, hints.needed.size)
            v *= hints.needed.reshape(-1)

    f["linear_input_grad"] = lig
    f["linear_weight_grad"] = lambda x, dy, dw, scale=1.0, hints=None: o["linear_weight_grad"](
        x, dy, dw, scale, hints.call if hints and hints.call else None
    )
    f["conv2d"] = lambda x, w, b, s, p, out, hints=None: o["conv2d"](
        x, w, b, s, p, out, hints.connectivity if hints else 1.0
    )
    f["conv2d_input_grad"] = lambda dy, w, s, p, dx, hints=None: o["conv2d_input_grad"](
        dy, w, s, p, dx, hints.connectivity if hints else 1.0
    )
    f["conv2d_weight_grad"] = lambda x, dy, s, p, dw, hints=None: o["conv2d_weight_grad"](
        x, dy, s, p, dw
    )

    def update_running(mean, var, rows, mom, rm, rv):
        unbiased = var * (rows / max(rows - 1, 1))
        rm += mom * (mean - rm)
        rv += mom * (unbiased - rv)

    f["update_running"] = update_running

    def fold_norm(mean, var, scale, shift, eps, inv, gain, off):
        inv[...] = (1.0 / np.sqrt(var.astype(np.float64) + eps)).astype(inv.dtype)
        gain[...] = scale * inv
        off[...] = shift - mean * gain

    f["fold_norm"] = fold_norm

    def beg(x, dy, mean, inv, gain, ds, dh, dx):
        ds[...] = (dy * (x - mean)).sum(0) * inv
        dh[...] = dy.sum(0)
        dx[...] = dy * gain

    f["batch_norm_eval_grad"] = beg

    def nleg(dz, mean, inv, gain, s, sx, ds, dh):
        ds[...] = (sx - mean * s) * inv
        dh[...] = s
        dz *= gain

    f["norm_lif_eval_grad"] = nleg

    def go(x, gain, off):
        c = x.shape[2]
        return (
            np.ones(c, x.dtype) if gain is None else gain,
            np.zeros(c, x.dtype) if off is None else off,
        )

    def lif(x, gain, off, n, held, out, start=None, end=None):
        assert start is None and end is None
        o["lif"](x, *go(x, gain, off), n, nothing[x.dtype] if held is None else held, out)

    f["lif"] = lif

    def lif_grad(x, gain, off, n, held, dout, dz, a=None, b=None, start=None):
        o["lif_grad"](
            x, *go(x, gain, off), n, nothing[x.dtype] if held is None else held, dout, dz, a, b
        )

    f["lif_grad"] = lif_grad

    def lif_potential(x, gain, off, n, v, start=None):
        o["lif_potential"](x, *go(x, gain, off), n, v)

    f["lif_potential"] = lif_potential

    def mse(x, t, d, out):
        np.subtract(x, t, out=d)
        out[...] = np.mean(np.square(d))

    f["mse"] = mse

    def mse_grad(d, g, dx):
        dx[...] = g * d.dtype.type(2.0 / d.size) * d

    f["mse_grad"] = mse_grad

    def ce(x, l, prob, out):
        sh = x - x.max(axis=1, keepdims=True)
        e = np.exp(sh)
        t = e.sum(axis=1, keepdims=True)
        prob[...] = e / t
        out[...] = -(sh[np.arange(len(l)), l] - np.log(t[:, 0])).mean()

    f["cross_entropy"] = ce

    def ceg(prob, l, g, dx):
        d = prob.copy()
        d[np.arange(len(l)), l] -= 1
        dx[...] = d * (g / d.dtype.type(len(l)))

    f["cross_entropy_grad"] = ceg

    def one_hot(l, out):
        out[...] = 0
        out[np.arange(l.size), l] = 1

    f["one_hot"] = one_hot

    def all_finite(x, flag):
        flag[0] &= bool(np.isfinite(x).all())

    f["all_finite"] = all_finite

    def cc(r, l, c):
        c[0] += np.count_nonzero(r.argmax(axis=1) == l)

    f["count_correct"] = cc

    def cs(s, c):
        c += s.sum(axis=0, dtype=np.int64)

    f["count_spikes"] = cs

    def cn(x, c):
        c[0] = np.count_nonzero(x)

    f["count_nonzero"] = cn

    def adam(w, g, m, v, ss, b1, b2, i, eps, counts=None):
        o["adam_step"](
            w.reshape(-1), g.reshape(-1), m.reshape(-1), v.reshape(-1), ss, b1, b2, i, eps
        )
        if counts is not None:
            counts[0] = np.count_nonzero(w)

    f["adam_step"] = adam

    def start(w, th, s, key):
        th[...] = np.abs(w)
        s[...] = np.sign(w)
        bits = (philox(key, 0, w.size) >> 31).astype(np.int8).reshape(w.shape)
        s[s == 0] = (2 * bits - 1)[s == 0]

    f["grad_r_start"] = start

    def adopt(w, th, s):
        bad = w != s * np.maximum(th, 0)
        th[bad] = np.abs(w[bad])
        sg = bad & (w != 0)
        s[sg] = np.sign(w[sg])

    def grs(w, th, s, g, m, v, ss, prior, mu, b1, b2, i, eps, counts):
        adopt(w, th, s)
        n = o["grad_r_step"](
            *(a.reshape(-1) for a in (w, th, s, g, m, v)), ss, prior, mu, b1, b2, i, eps
        )
        counts[0] = n[0]
        counts[1] += n[1]
        counts[2] += n[2]

    f["grad_r_step"] = grs

    def grss(w, th, s, g, lr, prior, mu, counts):
        adopt(w, th, s)
        n = o["grad_r_sgd_step"](*(a.reshape(-1) for a in (w, th, s, g)), lr, prior, mu)
        counts[0] = n[0]
        counts[1] += n[1]
        counts[2] += n[2]

    f["grad_r_sgd_step"] = grss

    def normalise(images, index, mean, std, out):
        if images.dtype == np.float32:
            np.subtract(images[index].transpose(0, 2, 3, 1), mean, out=out)
            np.divide(out, std, out=out)
        else:
            o["normalise"](images, index, mean, std, out)

    f["normalise"] = normalise
    return f
