"""What the production file and the environment say."""
