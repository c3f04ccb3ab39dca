"""Layers as directory trees."""
