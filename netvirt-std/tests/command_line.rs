//! What the program `netvirt` does when it is called.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const TWO_HOSTS: &str = include_str!("../../examples/two-hosts.toml");
const THREE_TENANTS: &str = include_str!("../../examples/three-tenants.toml");

struct Answer {
    status: Option<i32>,
    out: String,
    complaints: String,
}

fn netvirt() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netvirt"));
    command.env_remove("NO_COLOR");
    command
}

fn ask(command: &str, file: &Path) -> Answer {
    let output = netvirt().arg(command).arg(file).output().unwrap();
    Answer {
        status: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        complaints: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A directory with the text in a policy file.
fn file_with(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("site.toml");
    fs::write(&file, text).unwrap();
    (directory, file)
}

/// The example without the provider addresses that were given to its machines.
fn not_yet_allocated() -> String {
    let is_given = |line: &&str| line.starts_with("provider-addresses");
    let lines = THREE_TENANTS.split_inclusive('\n');
    let kept: String = lines.filter(|line| !is_given(line)).collect();
    assert_ne!(kept, THREE_TENANTS);
    kept
}

#[test]
fn a_good_file_is_summed_up_host_by_host() {
    let (_directory, file) = file_with(TWO_HOSTS);
    let answer = ask("check", &file);
    assert_eq!(answer.status, Some(0));
    assert_eq!(answer.complaints, "");
    let lines: Vec<_> = answer.out.lines().collect();
    let expected = "site.toml is good: 1 physical network, 2 hosts, 2 routing domains, \
        2 virtual subnets, 4 virtual machines, 0 peerings.";
    assert!(lines[0].ends_with(expected), "{}", answer.out);
    for (line, host) in lines[4..].iter().zip(["host-1", "host-2"]) {
        let cells: Vec<_> = line.split_whitespace().take(4).collect();
        assert_eq!(cells, [host, "2", "4", "1"]);
    }
    assert_eq!(lines.len(), 6);
}

#[test]
fn findings_are_told_with_their_place_and_end_with_1() {
    let (_directory, file) = file_with(&TWO_HOSTS.replace("10.0.0.7", "10.0.9.7"));
    for command in ["check", "allocate"] {
        let answer = ask(command, &file);
        assert_eq!(answer.status, Some(1));
        assert_eq!(answer.out, "");
        assert!(answer.complaints.contains("site.toml:"));
        assert!(answer.complaints.contains("10.0.9.7"));
    }
}

#[test]
fn what_cannot_be_carried_out_ends_with_2() {
    let missing = ask("check", Path::new("no/such/site.toml"));
    assert_eq!(missing.status, Some(2));
    assert!(missing.complaints.contains("no/such/site.toml"));
    let unknown = ask("chekc", Path::new("site.toml"));
    assert_eq!(unknown.status, Some(2));
    assert!(unknown.complaints.contains("'check'"));
}

#[test]
fn allocation_restores_the_addresses_and_touches_nothing_else() {
    let (_directory, file) = file_with(&not_yet_allocated());
    assert_eq!(ask("check", &file).status, Some(1));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let answer = ask("allocate", &file);
    assert_eq!((answer.status, &*answer.complaints), (Some(0), ""));
    assert_eq!(ask("check", &file).status, Some(0));
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);

    let text = fs::read_to_string(&file).unwrap();
    let given = |line: &&str| line.starts_with("provider-addresses");
    let others: String = text
        .split_inclusive('\n')
        .filter(|line| !given(line))
        .collect();
    assert_eq!(others, not_yet_allocated());
    let machines = text.lines().filter(given).count();
    assert_eq!(answer.out.lines().skip(4).count(), machines);
}

#[test]
fn a_file_that_needs_nothing_is_not_even_written() {
    let (_directory, file) = file_with(THREE_TENANTS);
    let before = fs::metadata(&file).unwrap();
    let answer = ask("allocate", &file);
    assert_eq!(answer.status, Some(0));
    assert!(answer.out.contains("unchanged"));
    let after = fs::metadata(&file).unwrap();
    assert_eq!(before.ino(), after.ino());
    assert_eq!(before.modified().unwrap(), after.modified().unwrap());
}

#[test]
fn a_link_to_the_file_stays_a_link() {
    let (directory, file) = file_with(&not_yet_allocated());
    let link = directory.path().join("link.toml");
    symlink(&file, &link).unwrap();
    assert_eq!(ask("allocate", &link).status, Some(0));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(ask("check", &file).status, Some(0));
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let (_directory, file) = file_with(TWO_HOSTS);
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let mut command = netvirt();
    command.arg("check").arg(&file).stdout(Stdio::from(writer));
    assert_eq!(command.status().unwrap().code(), Some(0));
}

#[test]
fn without_a_command_the_demo_is_given() {
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("netvirt-demo.pcapng");
    let output = netvirt().env("TMPDIR", directory.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_eq!(output.stderr, b"");
    assert!(
        text.contains(&format!("tshark -r {} ", capture.display())),
        "{text}"
    );
    assert!(fs::metadata(capture).unwrap().len() > 1_000_000);
}

#[test]
fn a_demo_whose_capture_cannot_be_written_says_so_and_ends_with_2() {
    let directory = tempfile::tempdir().unwrap();
    let answer = ask_demo(&directory.path().join("missing/wire.pcapng"));
    assert_eq!(answer.status, Some(2));
    assert_eq!(answer.out, "");
    assert!(
        answer.complaints.contains("wire.pcapng: "),
        "{}",
        answer.complaints
    );
    assert!(
        answer.complaints.contains("--capture FILE.pcapng"),
        "{}",
        answer.complaints
    );
}

fn ask_demo(capture: &Path) -> Answer {
    let output = netvirt()
        .args(["demo", "--capture"])
        .arg(capture)
        .output()
        .unwrap();
    Answer {
        status: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        complaints: String::from_utf8(output.stderr).unwrap(),
    }
}

const TWO_HOSTS_SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/two-hosts.ps1");

#[test]
fn a_script_becomes_a_policy_file_that_the_other_commands_take() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("site.toml");
    let import = || {
        let mut command = netvirt();
        command
            .args(["import", TWO_HOSTS_SCRIPT, "--output"])
            .arg(&file);
        command.output().unwrap()
    };
    let output = import();
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, format!("Written into {}.\n", file.display()));
    let warnings = String::from_utf8(output.stderr).unwrap();
    assert!(warnings.contains("warning: assumed: the name \"site-1\""));
    assert!(warnings.contains("two-hosts.ps1:28:90"));
    let checked = ask("check", &file);
    assert_eq!((checked.status, &*checked.complaints), (Some(0), ""));

    // What the operator has made of it since is not lost.
    fs::write(&file, "mine").unwrap();
    let output = import();
    assert_eq!(output.status.code(), Some(2));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains("it exists already"), "{complaint}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
}

#[test]
fn a_script_without_output_file_goes_to_standard_output() {
    let answer = ask("import", Path::new(TWO_HOSTS_SCRIPT));
    assert_eq!(answer.status, Some(0));
    assert!(answer.out.starts_with("# The virtual network of "));
    let (_directory, file) = file_with(&answer.out);
    assert_eq!(ask("check", &file).status, Some(0));
}

#[test]
fn a_script_that_is_not_understood_ends_with_1_and_one_that_cannot_be_read_with_2() {
    let (_directory, file) = file_with("if ($true) { Get-Date }\n");
    let answer = ask("import", &file);
    assert_eq!((answer.status, &*answer.out), (Some(1), ""));
    assert!(answer.complaints.contains("site.toml:1:1"));
    let end = "\n\n1 error; nothing was written\n";
    assert!(answer.complaints.ends_with(end), "{}", answer.complaints);
    fs::write(&file, b"Write-Host 'bl\xe5'").unwrap();
    for file in [&*file, Path::new("no/such/script.ps1")] {
        let answer = ask("import", file);
        assert_eq!((answer.status, &*answer.out), (Some(2), ""));
        assert!(answer.complaints.contains(&file.display().to_string()));
    }
}

#[test]
fn more_records_than_any_machine_holds_are_refused() {
    let mut command = netvirt();
    command.args(["switch", "--host", "host-1", "--policy"]);
    command.args([TWO_HOSTS_SCRIPT, "--records", "99999999999"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains("99999999999"), "{complaint}");
    assert!(complaint.contains("16777216"), "{complaint}");
}
