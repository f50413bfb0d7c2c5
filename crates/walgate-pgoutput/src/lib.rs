//! Bytes to messages of pgoutput versions 1 to 4 and back, and the frames of copy-both mode.
