"""The simulator: the real core in a made-up world, where a run is a function of its seed.

`run.run` is the door. `scheduler` is time, `disk` and `network` are what can break, `clients` and `workload` are
the traffic, `nemesis` says what breaks and when, `world` is the loop around `Node.turn`. `promises` holds clients'
observations against each other, `autopsy` the node's state against its disk, and `trace` makes two runs comparable. The
sequential model of the broker is in `model`. Nothing here knows how the product does what it does, except `autopsy`.
"""
