"""Graph to Graph passes, fusion into groups, and the memory plan. They read op kinds only."""
