"""What is missing at another place, and how it gets there."""
