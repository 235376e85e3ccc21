"""A first network: built layer by layer, trained and pruned in a loop of one's own.

Run it with `python examples/first_network.py`; it takes a few seconds.
"""

import argparse

import numpy as np

import snnr
from snnr import functional as F
from snnr import nn, optim


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000, help="training images")
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()

    mnist = snnr.data.load("mnist", limit_train=options.images)

    def current(images: np.ndarray) -> np.ndarray:
        """Pixels -> input current: the same at every time step."""
        return (images.astype(np.float32) / 255 - mnist.mean[0]) / mnist.std[0]

    # 784 inputs, 200 hidden spiking neurons, one output neuron per digit; 8 time steps
    net = nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 200, bias=False, rng=0),
        nn.LIF(tau=2.0),
        nn.Linear(200, 10, bias=False, rng=1),
        nn.LIF(tau=2.0),
        T=8,
    )
    # Gradient Rewiring: connections are pruned, and may come back, while the weights learn
    optimizer = optim.GradR(net.parameters(), lr=2e-3, prior=0.1, sparsity=0.95)

    rng = np.random.default_rng(0)
    for epoch in range(options.epochs):
        order = rng.permutation(len(mnist.x_train))
        for start in range(0, len(order) - 63, 64):
            index = order[start : start + 64]
            rate = F.mean_time(net(current(mnist.x_train[index])))
            loss = F.mse_loss(rate, F.one_hot(mnist.y_train[index], 10))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(
            f"epoch {epoch + 1}: loss {loss.item():.4f}, "
            f"connectivity {100 * optimizer.connectivity():.1f} %"
        )

    net.eval()
    with snnr.no_grad():
        rate = F.mean_time(net(current(mnist.x_test)))
    right = rate.numpy().argmax(axis=1) == mnist.y_test
    print(f"accuracy {100 * right.mean():.2f} %")
    print(f"connectivity {100 * snnr.metrics.connectivity(net):.2f} %")


if __name__ == "__main__":
    main()
