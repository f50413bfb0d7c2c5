//! What every part of Walgate speaks: positions, tables, changes, frames, batches, and the traits between the parts.
