"""Local Feature Masking where it hurts: each rectangle lies where the activations of its channel are strongest.

After max-drop, which drops the strongest activation instead of any. It hides as many values as ``lfm`` and more of what
they say: the two do not have the same dose at the same p. Whether that helps is open: in our ablation three seeds
showed no gain over random places (docs/study). Finding the place costs a running sum over each masked plane.
"""

from dataclasses import replace

from .lfm import MEMBER as LFM

MEMBER = replace(
    LFM,
    source="ours, after Gong et al. 2024 and Park and Kwak 2016 (max-drop: the strongest activation is dropped)",
    card=__doc__,
    options={**LFM.options, "place": replace(LFM.options["place"], default="strongest")},
)
