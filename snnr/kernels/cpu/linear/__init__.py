"""Dense layers. `choose` picks between the dense product and walks over what is not zero.

Over the input: `spikes` walks lists of active inputs (`bits` packs spikes and serves few outputs,
`deviations` lists images on a background), `outer` makes the weight gradient from such lists.
Over the weights: `lists` lists the survivors, `survivors` walks them (`scatter`: inner loops).
Over what a dropout mask keeps: `needed`.
"""
