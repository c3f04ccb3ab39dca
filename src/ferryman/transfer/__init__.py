"""What another machine lacks of an image, and how it gets there."""
