//! Is this an attack: one message in, findings and a verdict out.
