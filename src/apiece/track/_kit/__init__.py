"""What trackers share."""
