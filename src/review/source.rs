//! What a root module may say, before any program reads it.
