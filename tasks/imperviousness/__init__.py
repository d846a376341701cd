"""How the layers of imperviousness are made."""
