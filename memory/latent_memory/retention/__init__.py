"""What a memory keeps: limits, eviction, erasure, compaction."""
