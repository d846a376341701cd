"""The products of imperviousness by the EEA's definitions: names, rules, facts, metadata, editions, packages."""
