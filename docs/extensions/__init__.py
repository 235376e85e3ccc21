"""What Sphinx needs to know about these pages."""
