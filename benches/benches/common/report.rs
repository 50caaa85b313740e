//! Tables on stdout, and the same as JSON.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::machine::Machine;

use super::stats::Spread;

/// All that was measured.
#[derive(Default, Serialize, Deserialize)]
pub struct Report {
    /// Where.
    pub machine: Option<Machine>,
    pub tables: Vec<Table>,
}

impl Report {
    pub fn add(&mut self, table: Table) {
        self.tables.push(table);
    }

    /// Adds the outcome of some rounds to that of others of the same workload, if there is any. Returns
    /// what is there now.
    pub fn pool(&mut self, table: Table) -> &Table {
        match self.tables.iter().position(|old| old.workload == table.workload) {
            Some(place) => {
                self.tables[place].pool(table);
                &self.tables[place]
            }
            None => {
                self.tables.push(table);
                &self.tables[self.tables.len() - 1]
            }
        }
    }

    /// Adds another one's tables, in place of those of the same workloads.
    pub fn append(&mut self, other: Self) {
        self.machine = self.machine.take().or(other.machine);
        for table in other.tables {
            self.tables.retain(|old| old.workload != table.workload);
            self.tables.push(table);
        }
    }

    pub fn table(&self, workload: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.workload == workload)
    }

    pub fn read_json(file: &Path) -> io::Result<Self> {
        Ok(serde_json::from_reader(BufReader::new(File::open(file)?))?)
    }

    pub fn write_json(&self, file: &Path) -> io::Result<()> {
        let mut out = BufWriter::new(File::create(file)?);
        serde_json::to_writer_pretty(&mut out, self)?;
        writeln!(out)?;
        out.flush()
    }
}

/// The outcome of one workload.
#[derive(Serialize, Deserialize)]
pub struct Table {
    pub workload: String,
    pub rounds: usize,
    pub rows: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
pub struct Row {
    pub contender: String,
    pub measures: Vec<Measure>,
}

/// One column of one row.
#[derive(Serialize, Deserialize)]
pub struct Measure {
    pub name: String,
    #[serde(flatten)]
    pub spread: Spread,
    /// What that is computed from, in the order of the rounds.
    // (Older files do not have it.)
    #[serde(default)]
    pub samples: Vec<f64>,
}

impl Measure {
    pub fn of(name: &str, samples: &[f64]) -> Self {
        Self { name: name.to_owned(), spread: Spread::of(samples), samples: samples.to_vec() }
    }

    /// The median, and the quartiles where they say more than the median.
    pub fn text(&self) -> String {
        let Spread { median, lower_quartile, upper_quartile, .. } = self.spread;
        if lower_quartile == upper_quartile {
            return three_digits(median);
        }
        let (lower, upper) = (three_digits(lower_quartile), three_digits(upper_quartile));
        format!("{} ({lower}..{upper})", three_digits(median))
    }
}

impl Row {
    fn pool(&mut self, other: Self) {
        for mut measure in other.measures {
            match self.measures.iter_mut().find(|own| own.name == measure.name) {
                Some(own) => {
                    own.samples.append(&mut measure.samples);
                    own.spread = Spread::of(&own.samples);
                }
                None => self.measures.push(measure),
            }
        }
    }

    pub fn measure(&self, name: &str) -> Option<&Measure> {
        self.measures.iter().find(|measure| measure.name == name)
    }
}

impl Table {
    fn pool(&mut self, other: Self) {
        self.rounds += other.rounds;
        for row in other.rows {
            match self.rows.iter_mut().find(|own| own.contender == row.contender) {
                Some(own) => own.pool(row),
                None => self.rows.push(row),
            }
        }
    }

    pub fn row(&self, contender: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.contender == contender)
    }

    /// The table as text, its columns aligned.
    pub fn text(&self) -> String {
        let header = |row: &Row| row.measures.iter().map(|m| m.name.clone()).collect();
        let mut lines: Vec<(String, Vec<String>)> = Vec::new();
        // Some may have a column more than the others.
        let widest = self.rows.iter().max_by_key(|row| row.measures.len());
        lines.extend(widest.map(|row| (String::new(), header(row))));
        for row in &self.rows {
            lines.push((row.contender.clone(), row.measures.iter().map(Measure::text).collect()));
        }

        let width = |texts: &mut dyn Iterator<Item = &String>| texts.map(|t| t.len()).max();
        let first = width(&mut lines.iter().map(|(name, _)| name)).unwrap_or(0);
        let columns = lines.iter().map(|(_, cells)| cells.len()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|i| width(&mut lines.iter().filter_map(|(_, cells)| cells.get(i))).unwrap_or(0))
            .collect();

        let mut text = format!("{}, {} rounds\n", self.workload, self.rounds);
        for (name, cells) in &lines {
            text += &format!("  {name:first$}");
            for (cell, &width) in cells.iter().zip(&widths) {
                text += &format!("  {cell:>width$}");
            }
            text.push('\n');
        }
        text
    }
}

pub fn three_digits(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
