//! What every sink must pass, and a sink that fails by script.
