"""How the chain runs elsewhere: set-up, containers, work pools. Holds no logic."""
