"""What tests share and the benchmarks borrow: made inputs, servers on loopback, productions of seconds."""
