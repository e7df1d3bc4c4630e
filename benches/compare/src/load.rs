//! Sends the fleet over remote write 1.0 and measures what the server spends on it.

use crate::engine::Running;
use benches::fleet::{SERIES_PER_TARGET, Spec, Target};
use benches::latency::Latencies;
use benches::remote_write::Body;
use std::error::Error;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tsdb_core::labels::write_wire;

/// What to send.
#[derive(Debug)]
pub(crate) struct Plan {
    spec: Spec,
    /// Targets of the fleet and targets that serve customers.
    targets: u32,
    scrapes: u32,
    churn: u32,
    batch: usize,
    senders: u32,
    /// Samples a second that one sender offers.
    rate: Option<f64>,
}

impl Plan {
    /// A plan whose last scrape lies two minutes in the past.
    pub(crate) fn new(series: u32, arguments: &crate::Arguments) -> Self {
        let interval_ms = i64::from(arguments.interval);
        let fleet = series / SERIES_PER_TARGET;
        let targets = (fleet + arguments.customers / SERIES_PER_TARGET).max(1);
        let span = i64::from(arguments.scrapes) * interval_ms;
        let start_ms = now_ms() - 120_000 - span;
        let senders = arguments.senders.clamp(1, targets);
        Self {
            spec: Spec { targets: fleet, start_ms, interval_ms },
            targets,
            scrapes: arguments.scrapes,
            churn: arguments.churn,
            batch: arguments.batch,
            senders,
            rate: arguments.rate.map(|rate| rate as f64 / f64::from(senders)),
        }
    }

    fn target(&self, number: u32) -> Target {
        match number.checked_sub(self.spec.targets) {
            None => Target::new(self.spec, number),
            Some(number) => Target::of_customers(self.spec, number),
        }
    }

    /// Time of the first scrape, ms.
    pub(crate) fn start_ms(&self) -> i64 {
        self.spec.start_ms
    }

    /// A time that every target's last scrape is near to, ms.
    pub(crate) fn end_ms(&self) -> i64 {
        self.spec.start_ms + i64::from(self.scrapes) * self.spec.interval_ms
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures against the real clock")]
fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(0)
}

/// What a part of the load cost.
#[derive(Debug, Clone)]
pub(crate) struct Phase {
    /// Samples sent and acknowledged.
    pub(crate) samples: u64,
    /// CPU time of the server, all threads.
    pub(crate) server_cpu: Duration,
    /// Time from the first request to the last answer.
    pub(crate) wall: Duration,
    /// How long each request took.
    pub(crate) latencies: Latencies,
    /// How far the senders were behind the offered rate at the end; zero where no rate is set.
    pub(crate) lag: Duration,
}

/// Scrapes after which senders wait for each other, lest one gets hours ahead and the other is too late.
const IN_STEP: u32 = 40;

/// The fleet with its state, split among the senders.
pub(crate) struct Fleet<'a> {
    plan: &'a Plan,
    senders: Vec<Sender<'a>>,
}

impl<'a> Fleet<'a> {
    pub(crate) fn new(plan: &'a Plan) -> Self {
        let share = |sender| (0..plan.targets).filter(move |number| number % plan.senders == sender);
        let senders = (0..plan.senders).map(|sender| Sender::new(plan, share(sender)));
        Self { plan, senders: senders.collect() }
    }

    /// Scrapes and sends every target `scrapes` times, as fast as the server takes it.
    pub(crate) fn send(&mut self, server: &Running, scrapes: u32) -> Result<Phase, Box<dyn Error>> {
        let before = server.process()?;
        let started = Instant::now();
        let mut left = scrapes;
        while left > 0 {
            let now = left.min(IN_STEP);
            std::thread::scope(|scope| {
                let threads = self.senders.iter_mut().map(|sender| {
                    scope.spawn(move || sender.send(server, now).map_err(|error| error.to_string()))
                });
                let threads: Vec<_> = threads.collect();
                threads.into_iter().try_for_each(|t| t.join().map_err(|_| "a sender panicked".to_owned())?)
            })?;
            left -= now;
        }
        let wall = started.elapsed();
        let samples = u64::from(scrapes) * u64::from(self.plan.targets) * u64::from(SERIES_PER_TARGET);
        let mut latencies = Latencies::default();
        for sender in &mut self.senders {
            latencies.append(&mut sender.latencies);
        }
        let offered = self.plan.rate.map(|rate| samples as f64 / f64::from(self.plan.senders) / rate);
        let lag = offered.map_or(Duration::ZERO, |s| wall.saturating_sub(Duration::from_secs_f64(s)));
        let server_cpu = server.process()?.cpu.saturating_sub(before.cpu);
        Ok(Phase { samples, wall, server_cpu, latencies, lag })
    }

    /// Scrapes every target once and appends the compressed requests to `bodies`. Returns the number of samples.
    pub(crate) fn scrape_into(&mut self, bodies: &mut Vec<Vec<u8>>) -> Result<usize, Box<dyn Error>> {
        for sender in &mut self.senders {
            sender.scrape(|body| {
                bodies.push(body.to_vec());
                Ok(())
            })?;
        }
        Ok(self.senders.iter().map(|sender| sender.targets.len()).sum::<usize>() * SERIES_PER_TARGET as usize)
    }
}

struct Sender<'a> {
    plan: &'a Plan,
    targets: Vec<Encoded>,
    scraped: u32,
    body: Body,
    latencies: Latencies,
}

/// A target whose labels are encoded once.
struct Encoded {
    number: u32,
    target: Target,
    wires: Vec<Vec<u8>>,
}

impl Encoded {
    fn new(number: u32, target: Target) -> Self {
        let wire = |labels: &_| {
            let mut out = Vec::new();
            write_wire(labels, &mut out);
            out
        };
        Self { number, wires: target.labels().map(wire).collect(), target }
    }
}

impl<'a> Sender<'a> {
    fn new(plan: &'a Plan, numbers: impl Iterator<Item = u32>) -> Self {
        let targets = numbers.map(|number| Encoded::new(number, plan.target(number))).collect();
        Self { plan, targets, scraped: 0, body: Body::default(), latencies: Latencies::default() }
    }

    /// Scrapes all targets `scrapes` times and sends what they say, at the offered rate if there is one.
    fn send(&mut self, server: &Running, scrapes: u32) -> Result<(), Box<dyn Error>> {
        let started = Instant::now();
        let mut latencies = std::mem::take(&mut self.latencies);
        let between = self.plan.rate.map(|rate| Duration::from_secs_f64(self.plan.batch as f64 / rate));
        let mut sent = 0;
        for _ in 0..scrapes {
            self.scrape(|body| {
                if let Some(between) = between {
                    std::thread::park_timeout((between * sent).saturating_sub(started.elapsed()));
                }
                sent += 1;
                let asked = Instant::now();
                server.write(body)?;
                latencies.push(asked.elapsed());
                Ok(())
            })?;
        }
        self.latencies = latencies;
        Ok(())
    }

    /// Scrapes all targets once and hands compressed requests of one batch each to `take`.
    fn scrape(
        &mut self,
        mut take: impl FnMut(&[u8]) -> Result<(), Box<dyn Error>>,
    ) -> Result<(), Box<dyn Error>> {
        self.redeploy_if_due();
        let (mut values, mut pending) = (Vec::new(), 0);
        for encoded in &mut self.targets {
            let at = encoded.target.scrape(&mut values);
            for (wire, value) in encoded.wires.iter().zip(&values) {
                self.body.push(wire, at, *value);
                pending += 1;
                if pending == self.plan.batch {
                    take(self.body.take()?)?;
                    pending = 0;
                }
            }
        }
        if pending > 0 {
            take(self.body.take()?)?;
        }
        self.scraped += 1;
        Ok(())
    }

    fn redeploy_if_due(&mut self) {
        let churn = self.plan.churn;
        if churn == 0 || self.scraped == 0 || !self.scraped.is_multiple_of(churn) {
            return;
        }
        let spec = Spec {
            start_ms: self.plan.spec.start_ms + i64::from(self.scraped) * self.plan.spec.interval_ms,
            ..self.plan.spec
        };
        let fleet = self.plan.spec.targets;
        for encoded in self.targets.iter_mut().filter(|encoded| encoded.number < fleet) {
            let target = Target::generation(spec, encoded.number, self.scraped / churn);
            *encoded = Encoded::new(encoded.number, target);
        }
    }
}
