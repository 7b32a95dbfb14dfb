"""Generative image models, built and measured."""
