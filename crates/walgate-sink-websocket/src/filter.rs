//! Row filters: which rows a subscriber wants to hear of, and which it may.
