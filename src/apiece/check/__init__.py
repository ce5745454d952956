"""Find the mistakes in labels: one family of checks per file, each from labelled images to findings."""
