"""The animator for any CPU: a layered texture mesh, moved by motion transfer."""
