"""What notebooks ask of a student."""
