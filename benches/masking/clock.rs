//! The time that a thread has run.

use std::time::Duration;

use criterion::{
    Throughput,
    measurement::{Measurement, ValueFormatter, WallTime},
};
use rustix::time::{ClockId, clock_gettime};

/// Measures the time that the thread has run on a processor. Other work on the machine then slows a
/// bench down only through the caches.
#[derive(Clone, Copy, Debug)]
pub struct Cpu;

impl Measurement for Cpu {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
        let nanos = u32::try_from(now.tv_nsec).unwrap_or_default();
        Duration::new(seconds, nanos)
    }

    fn end(&self, start: Duration) -> Duration {
        self.start().saturating_sub(start)
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &Gigabytes
    }
}

/// Throughput in GB/s of 10⁹ bytes, as goals are told.
struct Gigabytes;

impl ValueFormatter for Gigabytes {
    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        WallTime.formatter().scale_values(typical, values)
    }

    fn scale_throughputs(
        &self,
        typical: f64,
        throughput: &Throughput,
        values: &mut [f64],
    ) -> &'static str {
        let Throughput::Bytes(bytes) = throughput else {
            return WallTime
                .formatter()
                .scale_throughputs(typical, throughput, values);
        };
        #[expect(clippy::cast_precision_loss, reason = "texts are far below 2^52 bytes")]
        let bytes = *bytes as f64;
        // Bytes by nanoseconds.
        values.iter_mut().for_each(|value| *value = bytes / *value);
        "GB/s"
    }

    fn scale_for_machines(&self, values: &mut [f64]) -> &'static str {
        WallTime.formatter().scale_for_machines(values)
    }
}
