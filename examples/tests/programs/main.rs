//! The programs as their users meet them: started as processes, spoken to over HTTP, stopped and killed.

#[cfg(test)]
mod alert_clocks;
#[cfg(test)]
mod alert_ends;
#[cfg(test)]
mod alerts;
#[cfg(test)]
mod compact;
#[cfg(test)]
mod deletes;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod process;
#[cfg(test)]
mod real_peers;
#[cfg(test)]
mod receiver;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod sender;
#[cfg(test)]
mod smoke;
#[cfg(test)]
mod tsdbctl;
#[cfg(test)]
mod version_2;
#[cfg(test)]
mod volume;
