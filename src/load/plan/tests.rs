//! Does a plan say what was asked for, and is what makes no sense refused before it is drawn?
