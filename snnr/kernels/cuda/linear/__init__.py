"""Dense layers. `choose` picks between products of tiles, cuBLAS, and a walk over spikes.

`spikes` adds up the weights of the inputs that are active. The tiles are those of `parts`.
"""
