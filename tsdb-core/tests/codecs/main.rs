//! The byte formats of chunks and packed columns, seen from outside: what was written stays readable, what is damaged
//! does no harm.

#[cfg(test)]
mod corruption;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod inputs;
