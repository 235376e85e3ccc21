"""Convolution: `choose` picks between dense code (`winograd`, `tiles`, `patches`), `spikes` and
`survivors`."""
