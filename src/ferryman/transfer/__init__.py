"""How an image gets elsewhere: what is missing there, and the ways to bring it."""
