//! What was hard on paper.
