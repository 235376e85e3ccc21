"""Dense layers: `choose` picks between the dense product, `spikes` and `survivors`."""
