"""Edit the boxes of one image: pure functions from record to record."""
