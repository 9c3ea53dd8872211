"""Every file that featmask writes, as a typed record with its reader and writer, and the names of figures.

Nothing here imports torch.
"""
