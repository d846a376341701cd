"""What `imperv verify` looks at in delivered files."""
