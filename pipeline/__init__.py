"""Tensors in, tensors out: the diffusion engine. Knows no sockets, no media, no threads."""
