//! What this process uses of its host and of the limits of its control group, in the shape of pg-boss's metrics.
//!
//! Whatever cannot be read is null. What only Node has, the heap and the event loop, is null, too.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use serde_json::{Value, json};

/// "No limit" in version 1 of control groups is a number above this.
const UNLIMITED: u64 = 1 << 60;

/// What was measured last, for what is a rate.
#[derive(Debug, Default)]
pub(super) struct Vitals {
    used: Option<(Instant, Duration)>,
    throttled: Option<(PathBuf, u64, u64)>,
}

impl Vitals {
    /// Measures; rates are since the time before, and null the first time.
    pub fn take(&mut self) -> Value {
        let now = (Instant::now(), processor_time());
        let before = self.used.replace(now);
        let cpu = before.map(|(then, used)| {
            let passed = now.0.duration_since(then).as_secs_f64();
            (now.1.saturating_sub(used)).as_secs_f64() / passed.max(1e-6)
        });
        let group = Group::own();
        let quota = group.as_ref().and_then(Group::quota);
        let limit = group.as_ref().and_then(Group::memory_limit);
        let processors = std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64);
        json!({
            "cgroup": group.as_ref().map(|group| group.version),
            "cpu": cpu.map(rounded),
            "cpuLimit": rounded(quota.as_ref().map_or(processors, |(cores, _)| cores.min(processors))),
            "cpuThrottled": quota.and_then(|(_, directory)| self.throttled(directory)),
            "rss": kilobytes("/proc/self/status", "VmRSS:"),
            "heapUsed": null,
            "heapLimit": null,
            "memoryUsed": limit.as_ref().and_then(|(_, directory)| group.as_ref()?.working_set(directory)),
            "memoryLimit": limit.map(|(bytes, _)| bytes).or_else(|| kilobytes("/proc/meminfo", "MemTotal:")),
            "loopDelay": null,
            "loopDelayMax": null,
            "loopUtilization": null,
        })
    }

    /// In which share of the scheduler's periods the group was held back.
    fn throttled(&mut self, directory: PathBuf) -> Option<f64> {
        let text = fs::read_to_string(directory.join("cpu.stat")).ok()?;
        let (periods, throttled) = (field(&text, "nr_periods")?, field(&text, "nr_throttled")?);
        let before = self.throttled.replace((directory.clone(), periods, throttled));
        let (_, old_periods, old_throttled) = before.filter(|(path, ..)| *path == directory)?;
        let (all, held) = (periods.checked_sub(old_periods)?, throttled.checked_sub(old_throttled)?);
        Some(if all == 0 {
            0.0
        } else {
            rounded(held as f64 / all as f64)
        })
    }
}

fn processor_time() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else {
        return Duration::ZERO;
    };
    let micros = [usage.user_time(), usage.system_time()].map(|time| {
        let micros = time.tv_sec() * 1_000_000 + time.tv_usec();
        u64::try_from(micros).unwrap_or_default()
    });
    Duration::from_micros(micros.iter().sum())
}

/// The control group this process is charged to.
struct Group {
    version: u8,
    /// From its own directory up to the mount.
    processor: Vec<PathBuf>,
    memory: Vec<PathBuf>,
}

impl Group {
    fn own() -> Option<Group> {
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        Group::of(&groups, &mounts)
    }

    /// Finds it in what `/proc/self/cgroup` and `/proc/self/mountinfo` say.
    fn of(groups: &str, mounts: &str) -> Option<Group> {
        let first = |controller| directories(groups, mounts, Some(controller));
        let (processor, memory) = (first("cpu"), first("memory"));
        if processor.is_some() || memory.is_some() {
            return Some(Group {
                version: 1,
                processor: processor.unwrap_or_default(),
                memory: memory.unwrap_or_default(),
            });
        }
        let unified = directories(groups, mounts, None)?;
        Some(Group {
            version: 2,
            processor: unified.clone(),
            memory: unified,
        })
    }

    /// The tightest quota in cores, and where it is set.
    fn quota(&self) -> Option<(f64, PathBuf)> {
        let quotas = self.processor.iter().filter_map(|directory| {
            let (quota, period) = if self.version == 2 {
                let text = fs::read_to_string(directory.join("cpu.max")).ok()?;
                let (quota, period) = text.trim().split_once(' ')?;
                (quota.parse::<f64>().ok()?, period.parse::<f64>().ok()?)
            } else {
                (
                    number(&directory.join("cpu.cfs_quota_us"))?,
                    number(&directory.join("cpu.cfs_period_us"))?,
                )
            };
            (quota > 0.0 && period > 0.0).then(|| (quota / period, directory.clone()))
        });
        quotas.min_by(|(one, _), (other, _)| one.total_cmp(other))
    }

    /// The tightest limit in bytes, and where it is set.
    fn memory_limit(&self) -> Option<(u64, PathBuf)> {
        let name = if self.version == 2 {
            "memory.max"
        } else {
            "memory.limit_in_bytes"
        };
        let limits = self.memory.iter().filter_map(|directory| {
            let text = fs::read_to_string(directory.join(name)).ok()?;
            let bytes = text.trim().parse().ok().filter(|bytes| (1..UNLIMITED).contains(bytes));
            bytes.map(|bytes| (bytes, directory.clone()))
        });
        limits.min_by_key(|(bytes, _)| *bytes)
    }

    /// Bytes in use, less what the kernel would give up first.
    fn working_set(&self, directory: &Path) -> Option<u64> {
        let (usage, inactive) = if self.version == 2 {
            ("memory.current", "inactive_file")
        } else {
            ("memory.usage_in_bytes", "total_inactive_file")
        };
        let usage: u64 = fs::read_to_string(directory.join(usage)).ok()?.trim().parse().ok()?;
        let stat = fs::read_to_string(directory.join("memory.stat")).unwrap_or_default();
        Some(usage.saturating_sub(field(&stat, inactive).unwrap_or_default()))
    }
}

/// The directories of this process' group under a controller of version 1, or of version 2 without one.
fn directories(groups: &str, mounts: &str, controller: Option<&str>) -> Option<Vec<PathBuf>> {
    let path = groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (id, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let wanted = match controller {
            Some(controller) => controllers.split(',').any(|one| one == controller),
            None => id == "0" && controllers.is_empty(),
        };
        wanted.then_some(path)
    })?;
    let (root, mount) = mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let (before, after): (Vec<_>, Vec<_>) = (before.split(' ').collect(), after.split(' ').collect());
        let wanted = match controller {
            Some(controller) => {
                after.first() == Some(&"cgroup") && after.get(2)?.split(',').any(|one| one == controller)
            }
            None => after.first() == Some(&"cgroup2"),
        };
        wanted.then_some((*before.get(3)?, *before.get(4)?))
    })?;
    // The mount shows what lies below its root, the whole tree or this very group.
    let below = if root == "/" {
        path
    } else {
        path.strip_prefix(root).unwrap_or_default()
    };
    let own = Path::new(mount).join(below.trim_start_matches('/'));
    Some(
        own.ancestors()
            .take_while(|directory| directory.starts_with(mount))
            .map(Path::to_owned)
            .collect(),
    )
}

fn number(file: &Path) -> Option<f64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn field(text: &str, name: &str) -> Option<u64> {
    let mut fields = text.lines().filter_map(|line| line.split_once(' '));
    fields.find(|(key, _)| *key == name)?.1.trim().parse().ok()
}

/// A line of a file in `/proc` such as `VmRSS:  1024 kB`, in bytes.
fn kilobytes(file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = rest.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_found_in_both_versions() {
        let unified = Group::of(
            "0::/system.slice/app.service\n",
            "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n",
        );
        let unified = unified.expect("a group");
        let shown: Vec<_> = unified.memory.iter().map(|path| path.display().to_string()).collect();
        let expected = [
            "/sys/fs/cgroup/system.slice/app.service",
            "/sys/fs/cgroup/system.slice",
            "/sys/fs/cgroup",
        ];
        assert_eq!((unified.version, shown), (2, expected.map(str::to_owned).to_vec()));
        let docker = Group::of(
            "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/\n",
            "1 0 0:1 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu,cpuacct\n\
             2 0 0:2 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
        );
        let docker = docker.expect("a group");
        assert_eq!(docker.version, 1);
        assert_eq!(docker.processor, [Path::new("/sys/fs/cgroup/cpu")]);
        assert!(Group::of("", "").is_none());
    }

    #[test]
    fn rates_are_known_the_second_time() {
        let mut vitals = Vitals::default();
        assert_eq!(vitals.take()["cpu"], Value::Null);
        let second = vitals.take();
        assert!(second["cpu"].as_f64().is_some_and(|cpu| cpu >= 0.0), "{second}");
        assert!(second["rss"].as_u64().is_some_and(|rss| rss > 1_000_000), "{second}");
        assert!(second["memoryLimit"].as_u64() > second["rss"].as_u64(), "{second}");
    }
}
