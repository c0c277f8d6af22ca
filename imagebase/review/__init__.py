"""What a reviewer sees first, and changes of many images at once."""
