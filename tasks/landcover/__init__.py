"""Urban land cover: how its layers are made, tuned, delivered and reported."""
