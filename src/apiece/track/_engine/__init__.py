"""What runs trackers."""
