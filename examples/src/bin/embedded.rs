//! A program that keeps metrics itself: open a database, append, query with PromQL. No server, no runtime.
//!
//! `embedded [FOLDER]`, by default a folder `embedded-data` here.

use std::error::Error;
use tsdb::{Appendable, Db, Labels, Options};
use tsdb_promql::{Engine, Value};

fn main() -> Result<(), Box<dyn Error>> {
    // A database is a directory. It is locked while it is open and recovers by itself after a crash.
    let folder = std::env::args().nth(1).unwrap_or_else(|| "embedded-data".to_owned());
    let db = Db::open(folder, Options::default())?;

    // A batch of samples: ten minutes of a counter for each of two rooms, one sample every 15 seconds.
    let now = tsdb_core::time::Clock::now(&tsdb::SystemClock);
    let mut batch = db.appender();
    for (room, per_step) in [("kitchen", 3.0), ("office", 7.0)] {
        let labels = Labels::from_pairs([("__name__", "door_openings_total"), ("room", room)])?;
        let series = batch.series(&labels)?;
        for step in 0..40u32 {
            let timestamp = now - 600_000 + i64::from(step) * 15_000;
            batch.append(series, timestamp, f64::from(step) * per_step);
        }
    }

    // Committing makes the batch visible and durable, and says what was refused.
    let report = batch.commit()?;
    say(&format!("stored {} samples, refused {}", report.accepted, report.refused.len()));

    // PromQL over anything that can be queried.
    let query = "sum by (room) (rate(door_openings_total[5m])) * 60";
    let result = Engine::default().instant(&db, query, now)?;
    if let Value::Vector(rooms) = result.value {
        for room in rooms {
            say(&format!("{} is opened {:.1} times a minute", room.labels, room.value));
        }
    }

    // Dropping the last handle closes the database too; closing says whether it worked.
    db.close()?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a program speaks to whoever started it")]
fn say(text: &str) {
    println!("{text}");
}
