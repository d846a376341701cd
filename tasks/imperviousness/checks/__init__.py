"""What `imperv verify` looks at in products of imperviousness."""
