//! The demo's policy file as it is run: the example, and where the network cards are.

/// Adds to the text of a policy file the interface of every uplink, and to every machine what `attachment` says of it.
pub fn with_devices(text: &str, uplink: &str, attachment: impl Fn(&str) -> String) -> String {
    let mut written = String::new();
    let mut is_machine = false;
    for line in text.lines() {
        if line.starts_with('[') {
            is_machine = line == "[[vm]]";
        }
        match line.strip_prefix("uplink = { ") {
            Some(rest) => {
                written += &format!("uplink = {{ interface = \"{uplink}\", {rest}\n");
            }
            None => written.extend([line, "\n"]),
        }
        let name = line.strip_prefix("name = \"").filter(|_| is_machine);
        if let Some(name) = name.and_then(|rest| rest.strip_suffix('"')) {
            written += &attachment(name);
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy_file::PolicyFile;

    #[test]
    fn every_uplink_and_every_machine_of_the_example_gets_its_interface() {
        let attachment = |name: &str| format!("interface = \"nic-{name}\"\n");
        let text = with_devices(crate::demo::POLICY, "up", attachment);
        let file = PolicyFile::parse(&text, "three-tenants.toml").unwrap();
        for host in ["host-1", "host-2"] {
            let policy = file.for_host(host).unwrap();
            assert_eq!(policy.uplink_interface.as_deref(), Some("up"));
            for port in &policy.ports {
                assert_eq!(port.interface, Some(format!("nic-{}", port.name)));
            }
        }
    }
}
