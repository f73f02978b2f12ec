"""The other ends of a stream: a local camera in; virtual camera, recording and preview out."""
