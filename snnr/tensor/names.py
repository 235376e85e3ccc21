"""What people call things elsewhere, and what they are called here."""

from snnr.errors import near

#: names of other libraries' tensors -> what does that here
_HERE = {
    "cpu": "x.numpy() copies to the host",
    "cuda": "snnr.Tensor(array, device='cuda'), and network.to('cuda')",
    "to": "snnr.Tensor(array, device=...), and network.to(device)",
    "view": "snnr.functional.flatten(x), or an index with None",
    "reshape": "snnr.functional.flatten(x), or an index with None",
    "flatten": "snnr.functional.flatten(x)",
    "squeeze": "x[:, 0]",
    "unsqueeze": "x[:, None]",
    "permute": "x.numpy().transpose(...), off the tape",
    "transpose": "x.numpy().transpose(...), off the tape",
    "clone": "x * 1.0 on the tape, snnr.Tensor(x.numpy().copy()) off it",
    "copy": "x * 1.0 on the tape, snnr.Tensor(x.numpy().copy()) off it",
    "requires_grad_": "x.requires_grad = True",
    "zero_": "x.assign(values)",
    "copy_": "x.assign(values)",
    "fill_": "x.assign(values)",
    "grad_fn": "x.node",
    "float": "snnr.Tensor(x.numpy().astype(np.float32))",
    "double": "snnr.Tensor(x.numpy().astype(np.float64))",
    "astype": "snnr.Tensor(x.numpy().astype(dtype))",
    "tolist": "x.numpy().tolist()",
    "argmax": "x.numpy().argmax(axis=1)",
    "max": "x.numpy().max(), or snnr.functional.max_pool2d",
    "min": "x.numpy().min()",
    "square": "x ** 2",
    "sqrt": "x ** 0.5",
    "pow": "x ** exponent",
    "matmul": "snnr.functional.linear(x, weight)",
    "mm": "snnr.functional.linear(x, weight)",
    "exp": "a snnr.Function of your own",
    "log": "a snnr.Function of your own, or snnr.functional.cross_entropy",
    "abs": "(x ** 2) ** 0.5, or a snnr.Function of your own",
}


def elsewhere(owner: str, name: str, known: list[str]) -> AttributeError:
    """That there is no such attribute, and what does the same or is called nearly so."""
    if name.startswith("__"):
        return AttributeError(f"{owner} has no attribute {name!r}")
    if name in _HERE:
        return AttributeError(f"{owner} has no attribute {name!r}; here it is {_HERE[name]}")
    return AttributeError(f"{owner} has no attribute {name!r}{near(name, known)}")
