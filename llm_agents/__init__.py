"""Language agents: minds that read and write."""
