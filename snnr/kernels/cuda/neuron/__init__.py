"""Spiking neurons over a whole sequence."""
