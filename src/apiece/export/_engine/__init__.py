"""What exports a model: the trace of its network, calibration, and the comparison with the original."""
