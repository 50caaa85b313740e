//! How far ahead a core looks while it waits for memory: what binlock's writes are arranged by (see
//! `raw/usual.rs`).
//!
//! A loop asks for a random line of a table, does something else (*before*), looks at the line, locks,
//! changes and unlocks it as a write does with a bin, and does something else again (*after*).
//! While few enough instructions are after, the next line is on its way while this one is waited for.
//! With a few more it is not, and a line takes half as long again.
//!
//! What is done is of four kinds: instructions of all sorts, as compilers mix them; such as set no
//! flags; such as set flags, each of them; and such as need what is in the line. A core has room
//! for so many of each.

use std::env;
use std::process::ExitCode;

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const USAGE: &str = "\
usage: cargo bench -p binlock-benches --bench lookahead -- [OPTIONS]
  --lines BITS       lines in the table, as a power of two (19: 32 MB)
  --rounds N         rounds, of which the median counts (9)";

fn main() -> ExitCode {
    let (mut bench, mut lines, mut rounds) = (false, Some(19), Some(9));
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        let number = |word: Option<String>| word.and_then(|word| word.parse::<usize>().ok());
        match word.as_str() {
            "--bench" => bench = true,
            "--lines" => lines = number(words.next()).filter(|bits| (1..32).contains(bits)),
            "--rounds" => rounds = number(words.next()).filter(|&rounds| rounds > 0),
            _ => rounds = None,
        }
    }
    let (Some(lines), Some(rounds)) = (lines, rounds) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    // `cargo test` starts benchmarks without this.
    if bench {
        model::run(1 << lines, rounds);
    }
    ExitCode::SUCCESS
}

#[cfg(not(target_arch = "x86_64"))]
mod model {
    pub(super) fn run(_lines: usize, _rounds: usize) {
        println!("The instructions are written for x86-64 only: nothing was measured.");
    }
}

#[cfg(target_arch = "x86_64")]
mod model {
    use std::arch::asm;
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    use std::hint::black_box;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Instant;

    const LOCKED: u64 = 1;

    #[repr(align(64))]
    struct Line {
        header: AtomicU64,
        slots: [AtomicU64; 4],
    }

    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Kind {
        Mixed,
        WithoutFlags,
        WithFlags,
        NeedingTheLine,
    }

    /// So many tens of instructions. They are a chain, but for the last kind, so that none can be
    /// left out, and but for the last kind none waits for a line.
    #[inline(always)]
    fn tens(count: usize, kind: Kind, chain: &mut u64, line: u64) {
        let mut memory = 0_u64;
        for _ in 0..count {
            // SAFETY: registers and a variable of our own.
            unsafe {
                match kind {
                    Kind::Mixed => asm!(
                        "mov [{m}], {x}", "lea {x}, [{x} + 1]", "mov {t}, [{m}]", "lea {x}, [{x} + 1]",
                        "mov [{m}], {x}", "add {x}, 1", "mov {t}, [{m}]", "lea {x}, [{x} + 1]",
                        "mov {t}, {x}", "test {t}, {t}",
                        x = inout(reg) *chain, m = in(reg) &raw mut memory, t = out(reg) _,
                    ),
                    Kind::WithoutFlags => asm!(
                        "lea {x}, [{x} + 1]", "mov {t}, {x}", "lea {x}, [{x} + 1]", "mov {t}, {x}",
                        "lea {x}, [{x} + 1]", "mov {t}, {x}", "lea {x}, [{x} + 1]", "mov {t}, {x}",
                        "lea {x}, [{x} + 1]", "mov {t}, {x}",
                        x = inout(reg) *chain, t = out(reg) _,
                    ),
                    Kind::WithFlags => asm!(
                        "add {x}, 1",
                        "test {x}, {x}",
                        "add {x}, 1",
                        "test {x}, {x}",
                        "add {x}, 1",
                        "test {x}, {x}",
                        "add {x}, 1",
                        "test {x}, {x}",
                        "add {x}, 1",
                        "test {x}, {x}",
                        x = inout(reg) * chain,
                    ),
                    Kind::NeedingTheLine => asm!(
                        "lea {t}, [{h} + 1]", "lea {t}, [{h} + 2]", "lea {t}, [{h} + 3]",
                        "lea {t}, [{h} + 4]", "lea {t}, [{h} + 5]", "lea {t}, [{h} + 6]",
                        "lea {t}, [{h} + 7]", "lea {t}, [{h} + 8]", "lea {t}, [{h} + 9]",
                        "lea {t}, [{h} + 10]",
                        h = in(reg) line, t = out(reg) _,
                    ),
                }
            }
        }
        black_box(memory);
    }

    fn mix(n: u64) -> u64 {
        let n = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n ^ (n >> 27)
    }

    /// Nanoseconds a line.
    #[inline(never)]
    fn pass<const ASKED: bool, const BEFORE: usize, const AFTER: usize, const KIND: u8>(
        lines: &[Line],
        seed: u64,
    ) -> f64 {
        let kind = match KIND {
            0 => Kind::Mixed,
            1 => Kind::WithoutFlags,
            2 => Kind::WithFlags,
            _ => Kind::NeedingTheLine,
        };
        const COUNT: u64 = 1 << 19;
        let (mut chain, mut failed) = (0, 0_u64);
        let begin = Instant::now();
        for n in 0..COUNT {
            let line = &lines[mix(seed + n) as usize & (lines.len() - 1)];
            if ASKED {
                // SAFETY: a hint.
                unsafe { _mm_prefetch::<_MM_HINT_T0>((&raw const *line).cast()) };
            }
            // (What needs the line cannot be before it.)
            let early = if kind == Kind::NeedingTheLine { Kind::Mixed } else { kind };
            tens(BEFORE, early, &mut chain, 0);
            let header = line.header.load(Ordering::Acquire);
            let locked = line.header.compare_exchange(
                header,
                header | LOCKED,
                Ordering::Acquire,
                Ordering::Relaxed,
            );
            failed += u64::from(locked.is_err());
            line.slots[header as usize / 2 % 4].store(n, Ordering::Release);
            line.header.store(header + 2, Ordering::Release);
            tens(AFTER, kind, &mut chain, header);
        }
        black_box(chain);
        assert_eq!(failed, 0, "nobody else is here");
        begin.elapsed().as_nanos() as f64 / COUNT as f64
    }

    type Pass = fn(&[Line], u64) -> f64;

    pub(super) fn run(lines: usize, rounds: usize) {
        let lines: Vec<Line> = (0..lines)
            .map(|_| Line { header: AtomicU64::new(0), slots: Default::default() })
            .collect();
        macro_rules! row {
            ($asked:literal, $before:literal, $kind:literal) => {
                [
                    pass::<$asked, $before, 0, $kind> as Pass,
                    pass::<$asked, $before, 2, $kind>,
                    pass::<$asked, $before, 4, $kind>,
                    pass::<$asked, $before, 6, $kind>,
                    pass::<$asked, $before, 8, $kind>,
                    pass::<$asked, $before, 10, $kind>,
                    pass::<$asked, $before, 15, $kind>,
                ]
            };
        }
        let rows: [(&str, [Pass; 7]); 8] = [
            ("mixed, not asked for, none before", row!(false, 0, 0)),
            ("mixed, not asked for, 100 before", row!(false, 10, 0)),
            ("mixed, asked for, none before", row!(true, 0, 0)),
            ("mixed, asked for, 100 before", row!(true, 10, 0)),
            ("mixed, asked for, 150 before", row!(true, 15, 0)),
            ("without flags, asked for, 100 before", row!(true, 10, 1)),
            ("with flags, asked for, 100 before", row!(true, 10, 2)),
            ("needing the line, asked for, 100 before", row!(true, 10, 3)),
        ];
        let mut times: Vec<Vec<Vec<f64>>> = vec![vec![Vec::new(); 7]; rows.len()];
        for round in 0..=rounds {
            for ((_, row), times) in rows.iter().zip(&mut times) {
                for (pass, times) in row.iter().zip(times) {
                    let time = pass(&lines, (round as u64) << 32);
                    // The first round finds pages that nobody has touched.
                    if round > 0 {
                        times.push(time);
                    }
                }
            }
        }
        println!(
            "Nanoseconds a line, with so many instructions after it, beside some thirty of the loop's:"
        );
        println!(
            "{:42} {:>5} {:>5} {:>5} {:>5} {:>5} {:>5} {:>5}",
            "", 0, 20, 40, 60, 80, 100, 150
        );
        for ((name, _), times) in rows.iter().zip(&mut times) {
            print!("{name:42}");
            for times in times {
                times.sort_by(f64::total_cmp);
                print!(" {:5.1}", times[times.len() / 2]);
            }
            println!();
        }
    }
}
