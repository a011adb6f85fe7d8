use super::{Header, date, markdown};
use crate::figure::{Metric, Outcome, Row};
use crate::load::Load;
use crate::system::System;

const LOAD: Load = Load::Download(1);

fn row(system: System, repetition: u32, value: f64, foreign_percent: f64) -> Row {
    let figures = vec![(Metric::MibPerSecond, value)];
    let outcome = Outcome::Measured { figures, foreign_percent, trouble: None };
    Row { system: system.name(), load: LOAD.name(), repetition, outcome }
}

fn report(rows: &[Row]) -> String {
    let systems = [System::Adit, System::NginxTls, System::NginxRathole, System::Bore];
    let header = Header {
        command: "cargo xtask bench".into(),
        machine: "Some CPU, 2 cores".into(),
        versions: systems.map(|system| (system, "1.2".into())).to_vec(),
        repetitions: 3,
        brief: false,
    };
    markdown(&header, &[LOAD], rows)
}

#[test]
fn medians_ratios_drops_and_failures_are_all_in_the_tables() {
    let failed =
        Row { outcome: Outcome::Failed("bore is not there".into()), ..row(System::Bore, 1, 0.0, 0.0) };
    let text = report(&[
        row(System::Adit, 1, 900.0, 0.0),
        row(System::Adit, 2, 1100.0, 1.0),
        row(System::Adit, 3, 5000.0, 12.5),
        row(System::NginxTls, 1, 2000.0, 0.0),
        row(System::NginxRathole, 1, 500.0, 0.0),
        failed,
    ]);
    assert!(text.contains("Of 6 measurements 1 took place while"), "{text}");
    assert!(text.contains("1 failed."), "{text}");
    assert!(text.contains("| download-1 | MiB/s | 2,000 | 500 | 1,000 | 0.50 | 2.00 |"), "{text}");
    assert!(
        text.contains("| adit | 1,000 (900–1,100) | 0.50 | 2.00 | 2 of 3; foreign CPU 12.5 % |"),
        "{text}"
    );
    assert!(text.contains("| nginx-tls | 2,000 | 1.00 | 4.00 | 1 of 1 |"), "{text}");
    assert!(text.contains("| bore | – | – | – | 0 of 1; failed: bore is not there |"), "{text}");
    assert!(text.contains("- adit: 1.2\n"), "{text}");
}

#[test]
fn days_are_those_of_the_calendar() {
    let day = 86_400_000_000;
    let cases = [
        (0, "1970-01-01"),
        (day - 1, "1970-01-01"),
        (-1, "1969-12-31"),
        (11_016 * day, "2000-02-29"),
        (11_017 * day, "2000-03-01"),
        (20_778 * day, "2026-11-21"),
    ];
    for (micros, text) in cases {
        assert_eq!(date(micros), text);
    }
}
