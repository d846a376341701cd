"""The U-Net: its form, its training, and its predictions block by block."""
