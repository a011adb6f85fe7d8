//! Every load, for a moment, against the origin alone: the driver works, whatever it measures.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::process::Command;

use serde_json::Value;

/// The loads that need no agent.
const LOADS: &str =
    "download,upload,requests,connections,beside,stalled,idle-visitors,rtt-5-download,rtt-5-upload";

#[test]
fn each_load_runs_against_the_origin_and_comes_into_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.md");
    let (begin, end) = ("<!-- begin: written by `cargo xtask bench --write` -->", "<!-- end -->");
    std::fs::write(&page, format!("ours\n{begin}\nold\n{end}\nours too\n")).unwrap();

    let mut bench = Command::new(env!("CARGO_BIN_EXE_adit-bench"));
    bench
        .args(["--brief", "--systems", "origin", "--repetitions", "2", "--only", LOADS, "--write"])
        .arg(&page);
    let output = bench.output().unwrap();
    let (said, noted) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{noted}");

    let rows: Vec<Value> = said.lines().map_while(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!(rows.len(), 2 * 14, "{said}");
    for row in &rows {
        assert!(row.get("failed").is_none() && row.get("trouble").is_none(), "{row}");
        let figures = row.get("figures").and_then(Value::as_object).unwrap();
        let nothing_failed = figures.get("errors").is_none_or(|errors| errors.as_f64() == Some(0.0));
        assert!(!figures.is_empty() && nothing_failed, "{row}");
    }
    let figure = |load: &str, name: &str| {
        let row = rows.iter().find(|row| row.get("load").and_then(Value::as_str) == Some(load)).unwrap();
        row.get("figures").and_then(|figures| figures.get(name)?.as_f64()).unwrap()
    };
    assert!(figure("download-16", "mib_per_s") > 0.0);
    assert!(figure("requests-64", "requests_per_s") > 0.0);
    assert!(figure("connections", "p999_us") >= figure("connections", "p50_us"));
    assert!(figure("beside-8", "beside_mib_per_s") > 0.0);
    assert!(figure("rtt-5-download", "round_trip_ms") >= 5.0);

    let page = std::fs::read_to_string(&page).unwrap();
    assert!(page.starts_with("ours\n") && page.ends_with("\nours too\n"), "{page}");
    assert!(
        page.contains("#### beside-8: ") && page.contains("| origin | ") && !page.contains("old"),
        "{page}"
    );
    assert!(page.contains("cargo xtask bench --only download,") && page.contains("**A brief run:"), "{page}");
}

#[test]
fn a_system_that_is_not_there_is_a_row_that_says_so() {
    let mut bench = Command::new(env!("CARGO_BIN_EXE_adit-bench"));
    let nowhere = tempfile::tempdir().unwrap();
    bench.args(["--brief", "--systems", "adit,bore", "--repetitions", "1", "--only", "upload", "--programs"]);
    let output = bench.arg(nowhere.path()).arg("--peers").arg(nowhere.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    for system in ["adit", "bore"] {
        let row = said.lines().find(|line| line.contains(&format!(r#""system":"{system}""#))).unwrap();
        assert!(row.contains(r#""failed":"#), "{row}");
    }
    assert!(said.contains("2 failed."), "{said}");
}
