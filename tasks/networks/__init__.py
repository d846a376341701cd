"""Models: trained, kept, exchanged, and predicted with."""
