//! Changes to bytes: the native JSON event, and a form for people.
