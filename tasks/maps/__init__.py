"""Maps for the screen: what layers a store or folder has, and map tiles of them as pictures."""
