"""The commands `imperv patches`."""
