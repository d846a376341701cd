"""A product as another distribution brings it: green and other ground of a month at 5 m (docs/dev/adding-a-product.md)."""
