"""What the PyTorch contenders share that is about the device."""

from __future__ import annotations

import torch


def settle(threads: int, tf32: bool) -> None:
    """Threads of PyTorch, and whether products on a card may use TF32: strict float32 has to be
    asked for, because PyTorch lets cuDNN round to TF32 by default."""
    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    # shapes never change: let cuDNN try its algorithms and keep the fastest
    torch.backends.cudnn.benchmark = True


def synchronise(device: str) -> None:
    """Wait for everything that was issued."""
    if device == "cuda":
        torch.cuda.synchronize()


def forget_peak(device: str) -> None:
    """Count the peak of the card's memory from now on."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()


def memory() -> dict[str, int]:
    """The peak of tensors, and of what the allocator took from the driver for them."""
    return {
        "peak": torch.cuda.max_memory_allocated(),
        "reserved": torch.cuda.max_memory_reserved(),
    }
