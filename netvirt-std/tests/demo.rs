//! The demo network: it holds with its own policy, and notices when the policy is wrong.

use netvirt_std::capture::CaptureWriter;
use netvirt_std::demo::{self, DemoError, POLICY, Report};
use netvirt_std::policy_file::PolicyFile;

fn run(policy: &str) -> Result<(Report, Vec<u8>), DemoError> {
    let file = PolicyFile::parse(policy, "three-tenants.toml").unwrap();
    demo::in_memory(&file, CaptureWriter::new("memory", Vec::new()).unwrap())
}

/// The demo's policy with one place changed.
fn edited(from: &str, to: &str) -> String {
    assert_eq!(POLICY.matches(from).count(), 1, "{from}");
    POLICY.replace(from, to)
}

/// The attempts and statements that failed, with what was expected and what was seen.
fn failures(report: &Report) -> Vec<String> {
    let text = report.to_string();
    let failed = text.split("✗ ").skip(1);
    let failures: Vec<String> = failed
        .map(|rest| rest.lines().take(3).collect::<Vec<_>>().join("\n"))
        .collect();
    assert_eq!(failures.len(), report.failed());
    failures
}

#[track_caller]
fn assert_failed(failures: &[String], what: &str, seen: &str) {
    let failure = failures.iter().find(|failure| failure.starts_with(what));
    let failure = failure.unwrap_or_else(|| panic!("{what} did not fail, but {failures:#?}"));
    assert!(failure.contains("\n      expected: "), "{failure}");
    assert!(
        failure.contains(&format!("\n      seen:     {seen}")),
        "{failure}"
    );
}

#[test]
fn every_expectation_holds_and_every_run_is_the_same() {
    let (report, capture) = run(POLICY).unwrap();
    let text = report.to_string();
    assert_eq!(report.failed(), 0, "{text}");
    assert_eq!(text.matches('✓').count(), report.expectations());
    let (again, capture_again) = run(POLICY).unwrap();
    assert_eq!(again.to_string(), text);
    assert!(capture == capture_again);
}

#[test]
fn the_report_fits_into_100_columns() {
    let (report, _) = run(POLICY).unwrap();
    for line in report.to_string().lines() {
        assert!(line.chars().count() <= 100, "{line}");
        assert_eq!(line, line.trim_end());
    }
}

#[test]
fn a_machine_in_the_wrong_tenant_is_noticed() {
    let policy = edited(
        "name = \"blue-5\"\nsubnet = \"blue-web\"",
        "name = \"blue-5\"\nsubnet = \"red-web\"",
    );
    let (report, _) = run(&policy).unwrap();
    let failures = failures(&report);
    assert_failed(&failures, "red-1 pings 10.0.0.9", "it arrived at blue-5");
    assert_failed(
        &failures,
        "blue-1 sends 2.0 MiB to 10.0.0.9",
        "nothing arrived; host-1 refused",
    );
    assert_failed(&failures, "tenants never met", "3 of ");
    let of_others = failures.iter().find(|failure| failure.starts_with("green"));
    assert_eq!(of_others, None);
}

#[test]
fn a_host_that_is_not_where_its_neighbour_believes_is_noticed() {
    let policy = edited(
        "addresses = [\"192.168.4.11\"]\n",
        "addresses = [\"192.168.4.11\"]\n\
         neighbours = [{ address = \"192.168.4.22\", mac = \"02:00:00:00:00:99\" }]\n",
    );
    let (report, _) = run(&policy).unwrap();
    let failures = failures(&report);
    for tenant in ["blue", "red", "green"] {
        let what = format!("{tenant}-1 sends 3.0 MiB to 10.0.0.7 ({tenant}-2)");
        assert_failed(&failures, &what, "nothing arrived");
        assert_failed(
            &failures,
            &format!("{tenant}-1 pings 10.0.0.7"),
            "0 of 3 answered",
        );
    }
    assert_failed(&failures, "nothing strange on the wire", "0 of");
    assert_failed(&failures, "what waited for a next hop was sent", "");
}

#[test]
fn a_refusal_for_another_reason_is_noticed() {
    let policy = edited(
        "vsid = 6001\nprefixes = [",
        "vsid = 6001\nprefixes = [\"10.0.1.0/24\", ",
    );
    let (report, _) = run(&policy).unwrap();
    let failures = failures(&report);
    assert_failed(
        &failures,
        "red-1 pings 10.0.1.5",
        "host-1 refused 1: no_record",
    );
    assert_failed(
        &failures,
        "red-1 opens TCP to 10.0.1.7",
        "host-1 refused 2: no_record",
    );
    assert_eq!(failures.len(), 2, "{failures:#?}");
}

#[test]
fn a_machine_that_the_script_needs_is_asked_for() {
    let policy = edited("name = \"red-3\"", "name = \"red-4\"");
    assert!(matches!(run(&policy), Err(DemoError::Missing(name)) if name == "red-3"));
}
