"""Checks of delivered products of imperviousness (`imperv verify`)."""
