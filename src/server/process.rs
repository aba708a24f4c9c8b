//! Figures of this process, under the names that every Prometheus client uses.
//!
//! Read from `/proc/self`; on systems without it the figures are absent.

use std::time::{SystemTime, UNIX_EPOCH};

/// Clock ticks per second of the fields of `/proc/self/stat`; 100 on every architecture that Linux runs on today.
const TICKS_PER_SECOND: f64 = 100.0;

/// Figures of the process at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ProcessFigures {
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: u64,
    pub(super) virtual_bytes: u64,
    pub(super) threads: u64,
    pub(super) open_fds: u64,
    pub(super) start_time_seconds: f64,
}

/// Reads the figures; `None` where the system does not offer them.
pub(super) fn read() -> Option<ProcessFigures> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let uptime: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    let open_fds = std::fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
    figures(&stat, &status, now - uptime, open_fds)
}

fn figures(stat: &str, status: &str, boot_seconds: f64, open_fds: u64) -> Option<ProcessFigures> {
    // The name of the program, in parentheses, may hold spaces and parentheses itself.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    // Numbered as in proc(5), where the state after the name is field 3.
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    let kibibytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').split_whitespace().next()?.parse::<u64>().ok()
    };
    Some(ProcessFigures {
        cpu_seconds: (field(14)? + field(15)?) / TICKS_PER_SECOND,
        resident_bytes: kibibytes("VmRSS")? * 1024,
        virtual_bytes: kibibytes("VmSize")? * 1024,
        threads: field(20)? as u64,
        open_fds,
        start_time_seconds: boot_seconds + field(22)? / TICKS_PER_SECOND,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194304 1 2 3 4 150 50 0 0 20 0 9 0 1000 8192 3";
        let status = "Name:\ta\nVmSize:\t    8 kB\nVmRSS:\t    4 kB\n";
        let expected = ProcessFigures {
            cpu_seconds: 2.0,
            resident_bytes: 4096,
            virtual_bytes: 8192,
            threads: 9,
            open_fds: 5,
            start_time_seconds: 110.0,
        };
        assert_eq!(figures(stat, status, 100.0, 5), Some(expected));
        assert_eq!(figures("", "", 0.0, 0), None);
    }
}
