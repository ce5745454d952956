"""What several families of measurements share."""
