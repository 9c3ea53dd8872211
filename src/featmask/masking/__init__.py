"""How masks are drawn and written.

``options`` checks what a user asks for; ``plan`` draws on the host which boxes of which planes are overwritten;
``guided`` lays them where activations are strongest; ``overwrite`` writes such a plan into a tensor; ``traced`` draws
and writes inside a graph, for torch.compile.
"""
