//! What a run showed, as Markdown.

mod cell;
mod page;
mod table;

use adit_process::clock::wall_micros;

pub use page::write;

use crate::figure::{Metric, Outcome, Row};
use crate::limits::FOREIGN_PERCENT_MAX;
use crate::load::Load;
use crate::number::readable;
use crate::system::{Distance, System};
use cell::Cell;
use table::Table;

/// What a reader must know besides the rows.
#[derive(Debug)]
pub struct Header {
    /// The command that was run.
    pub command: String,
    /// The machine in a line.
    pub machine: String,
    /// Each system and its programs' versions.
    pub versions: Vec<(System, String)>,
    /// How often everything was measured.
    pub repetitions: u32,
    /// Whether sizes and times were those of a plan that measures nothing.
    pub brief: bool,
}

/// Everything, beginning with the comparison.
pub fn markdown(header: &Header, loads: &[Load], rows: &[Row]) -> String {
    let systems: Vec<System> = header.versions.iter().map(|(system, _)| *system).collect();
    let mut text = introduction(header, rows);
    if systems.contains(&System::Adit) && loads.iter().any(|load| load.distance() == Distance::Near) {
        text.push_str(&comparison(loads, rows));
    }
    for load in loads {
        text.push_str(&section(*load, &systems, rows));
    }
    text
}

fn introduction(header: &Header, rows: &[Row]) -> String {
    let Header { command, machine, versions, repetitions, brief } = header;
    let caution = if *brief {
        "**A brief run: sizes are a fraction of those named, and nothing here is a figure.** "
    } else {
        ""
    };
    let noisy =
        rows.iter().filter(|row| matches!(row.outcome, Outcome::Measured { .. }) && !row.is_quiet()).count();
    let failed = rows.iter().filter(|row| matches!(row.outcome, Outcome::Failed(_))).count();
    let versions: Vec<String> =
        versions.iter().map(|(system, version)| format!("- {}: {version}", system.name())).collect();
    format!(
        "### {date}\n\n```sh\n{command}\n```\n\n{caution}{machine}. {repetitions} repetition(s), all systems in turn in each; \
         medians, with least and most in brackets. Of {all} measurements {noisy} took place while other programs or the \
         machine below used more than {FOREIGN_PERCENT_MAX} % of the CPU: their times are dropped, their memory counts. \
         {failed} failed.\n\n{versions}\n\n",
        date = date(wall_micros()),
        all = rows.len(),
        versions = versions.join("\n"),
    )
}

/// The figures that tell most: Adit and the two that it is held against. Far links are held against plain TCP instead.
fn comparison(loads: &[Load], rows: &[Row]) -> String {
    let head =
        ["load", "figure", "nginx-tls", "nginx+rathole-tls", "adit", "× nginx-tls", "× nginx+rathole-tls"];
    let mut table = Table::new(&head);
    for load in loads.iter().filter(|load| load.distance() == Distance::Near) {
        for metric in load.compared() {
            let [nginx, pair, adit] = [System::NginxTls, System::NginxRathole, System::Adit]
                .map(|system| Cell::of(rows, system, *load, *metric));
            table.row(&[
                load.name(),
                metric.title().to_owned(),
                nginx.median_text(),
                pair.median_text(),
                adit.median_text(),
                adit.times(&nginx),
                adit.times(&pair),
            ]);
        }
    }
    format!("{}\n", table.markdown())
}

/// One load: a line per system.
fn section(load: Load, systems: &[System], rows: &[Row]) -> String {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.load == load.name()).collect();
    if rows.is_empty() {
        return String::new();
    }
    let metrics = metrics_of(&rows);
    let bases: Vec<System> = match load {
        Load::FarDownload(_) | Load::FarUpload(_) => vec![System::Origin],
        _ => vec![System::NginxTls, System::NginxRathole, System::AditUnmetered],
    };
    let bases: Vec<System> =
        bases.into_iter().filter(|base| systems.contains(base) && load.is_for(*base)).collect();
    let mut head = vec!["system".to_owned()];
    head.extend(metrics.iter().map(|metric| metric.title().to_owned()));
    head.extend(bases.iter().map(|base| format!("× {}", base.name())));
    head.push("runs".to_owned());
    let mut table = Table::new(&head.iter().map(String::as_str).collect::<Vec<_>>());
    for system in systems.iter().filter(|system| rows.iter().any(|row| row.system == system.name())) {
        let cell = |system: System, metric: Metric| Cell::of(rows.iter().copied(), system, load, metric);
        let mut line = vec![system.name().to_owned()];
        line.extend(metrics.iter().map(|metric| cell(*system, *metric).text()));
        let main = load.compared().first();
        line.extend(bases.iter().map(|base| {
            main.map_or_else(String::new, |main| cell(*system, *main).times(&cell(*base, *main)))
        }));
        line.push(runs(*system, &rows));
        table.row(&line);
    }
    format!("#### {}: {}\n\n{}\n", load.name(), load.title(), table.markdown())
}

/// What any of them shows, in the order of tables.
fn metrics_of(rows: &[&Row]) -> Vec<Metric> {
    let mut metrics: Vec<Metric> = Vec::new();
    for row in rows {
        if let Outcome::Measured { figures, .. } = &row.outcome {
            metrics.extend(figures.iter().map(|(metric, _)| *metric));
        }
    }
    metrics.sort();
    metrics.dedup();
    metrics
}

/// How many runs count, and what became of the others.
fn runs(system: System, rows: &[&Row]) -> String {
    let mine: Vec<&&Row> = rows.iter().filter(|row| row.system == system.name()).collect();
    let quiet = mine.iter().filter(|row| row.is_quiet()).count();
    let mut said = vec![format!("{quiet} of {}", mine.len())];
    let noise = mine.iter().filter_map(|row| match row.outcome {
        Outcome::Measured { foreign_percent, .. } if !row.is_quiet() => Some(readable(foreign_percent)),
        Outcome::Measured { .. } | Outcome::Failed(_) => None,
    });
    let noise: Vec<String> = noise.collect();
    if !noise.is_empty() {
        said.push(format!("foreign CPU {} %", noise.join(", ")));
    }
    said.extend(mine.iter().find_map(|row| match &row.outcome {
        Outcome::Failed(why) => Some(format!("failed: {why}")),
        Outcome::Measured { trouble, .. } => trouble.clone(),
    }));
    said.join("; ")
}

/// The day of a moment, in UTC.
fn date(micros: i64) -> String {
    let days = micros.div_euclid(86_400_000_000);
    // Civil from days, for the Gregorian calendar: eras of 400 years that begin on 1 March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests;
