"""The feed-forward form of a recurrent model: the same weights on the last k inputs."""
