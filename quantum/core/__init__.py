"""The pure core: no clock, no randomness, no IO, no asyncio. Time, chance and the world come in as inputs.

`node.Node.turn()` is the one door; every other room is reached through it.
"""
