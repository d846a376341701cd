"""Commands of imperviousness alone: its demo, and how its maps are evaluated, validated and compared."""
