"""The CPU animator: a layered texture mesh of the portrait, moved by motion transfer."""
