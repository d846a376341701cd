"""Super-resolution: what the family's nodes and the command `imperv sharpen` do with looks of Sentinel-2."""
