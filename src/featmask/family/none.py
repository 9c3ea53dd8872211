"""The baseline: no layer at all.

Every claim is a difference to it, so it deserves the same budget as the others: most published gains of domain
generalisation vanish beside an equally tuned baseline (Gulrajani and Lopez-Paz 2021). Where training and validation
figures do not differ, nothing overfits, and no member of this family can help on clean images.
"""

from .base import Member

MEMBER = Member(None, "none", "the baseline", __doc__, share=lambda options, shape: 0.0, probability=None)
