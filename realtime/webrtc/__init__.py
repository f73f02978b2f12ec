"""Everything that knows aiortc, SDP, ICE, RTP and codecs."""
