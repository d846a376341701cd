"""Delivered products: their names, rules, facts, editions and packages."""
