"""The Dockerfile language, as far as images are changed by it."""
