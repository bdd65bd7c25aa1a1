//! CPU time, so that other work on the machine does not count.

use std::process::{Child, ExitStatus};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

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

/// Time of this thread since some point in the past.
pub fn now() -> Duration {
    thread().map_or_else(|| STARTED.get_or_init(Instant::now).elapsed(), Duration::from_secs_f64)
}

/// Where there is no CPU time, the wall clock begins at its first use.
static STARTED: OnceLock<Instant> = OnceLock::new();

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

fn children() -> Option<f64> {
    of_children(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// Fields 16 and 17 of stat, cutime and cstime; the second field is in parentheses and may contain spaces.
fn of_children(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(13);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS)
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_of_children_are_found_behind_any_name() {
        let stat = "4242 (a b) c) S 1 1 1 0 -1 4194304 100 200 0 0 11 12 250 50 20 0 1 0 5 6 7";
        assert_eq!(super::of_children(stat), Some(3.0));
        assert_eq!(super::of_children("4242 (short) S 1"), None);
    }
}
