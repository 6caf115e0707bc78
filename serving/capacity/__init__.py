"""How many pods a load needs: a queueing simulation seeded with measured service times.

Owns `python -m serving plan`; reads a file of measurements and touches no server. May import what
serving may; nothing else in serving needs it.
"""
