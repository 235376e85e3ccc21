"""snnr."""
