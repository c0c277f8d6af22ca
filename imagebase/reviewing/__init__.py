"""What a reviewer is shown, and what they do to many images at once."""
