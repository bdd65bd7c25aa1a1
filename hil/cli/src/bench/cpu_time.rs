//! CPU time, so that other work on the machine does not count.

use std::process::{Child, ExitStatus};
use std::time::Instant;

/// Linux tells CPU times under /proc; elsewhere wall-clock time has to do.
pub const IS_CPU_TIME: bool = cfg!(target_os = "linux");
/// /proc/PID/stat counts in hundredths of a second (proc(5), USER_HZ).
const TICKS: f64 = 100.0;

/// Seconds that `work` takes on this thread.
pub fn of<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let wall = Instant::now();
    let before = thread();
    let result = work();
    let seconds = match (before, thread()) {
        (Some(before), Some(after)) => after - before,
        _ => wall.elapsed().as_secs_f64(),
    };
    (result, seconds)
}

/// Waits for `child`; seconds of user and system time of all its threads.
pub fn of_child(mut child: Child) -> std::io::Result<(ExitStatus, f64)> {
    let wall = Instant::now();
    let before = children();
    let status = child.wait()?;
    let seconds = match (before, children()) {
        (Some(before), Some(after)) => after - before,
        _ => wall.elapsed().as_secs_f64(),
    };
    Ok((status, seconds))
}

/// Nanoseconds on a CPU are the first field of schedstat.
fn thread() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(stat.split_whitespace().next()?.parse::<f64>().ok()? / 1e9)
}

/// Fields 16 and 17 of stat, cutime and cstime; the second field is in parentheses and may contain spaces.
fn children() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(13);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS)
}

#[cfg(test)]
mod tests {
    #[test]
    fn work_takes_time_and_waiting_does_not() {
        if !super::IS_CPU_TIME {
            return;
        }
        let (_, asleep) = super::of(|| std::thread::sleep(std::time::Duration::from_millis(50)));
        let (_, busy) = super::of(|| (0..3_000_000u64).fold(1, |x, n| std::hint::black_box(x ^ n)));
        assert!(asleep < 0.04, "{asleep}");
        assert!(busy > 0.0, "{busy}");
    }
}
