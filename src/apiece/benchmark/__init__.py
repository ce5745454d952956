"""Architectures, and trained models, side by side on one data set: accuracy, speed and memory under equal conditions.

A room of its own between `train` and `cli`: it trains, predicts, evaluates and draws, so it has to lie behind all four
of these rooms, and none of them may know of it. Every model is trained and measured in a process of its own
(`_child`), so that its memory is its own and a model that fails takes no other with it.
"""
