//! The programs as their users meet them: started as processes, spoken to over HTTP, stopped and killed.

mod kill;
mod process;
mod real_peers;
mod smoke;
