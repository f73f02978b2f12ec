"""Operations on pictures: read a source, convert to I420, draw the "AI-generated" badge, measure quality."""
