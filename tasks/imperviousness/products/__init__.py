"""The products of imperviousness as the EEA asks for them: names, rules, facts, metadata, editions, packages."""
