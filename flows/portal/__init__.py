"""The portal: one page in the browser on a store or a folder of products (docs/portal.md)."""
