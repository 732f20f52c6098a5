use netvirt_std::policy_file::*;
#[test]
fn show() {
    let text = include_str!("../../examples/two-hosts.toml");
    let f = PolicyFile::parse(text, "two-hosts.toml").unwrap();
    println!("{:#?}", f.for_host("host-1").unwrap());
    let text = include_str!("../../examples/three-tenants.toml");
    let f = PolicyFile::parse(text, "three.toml").unwrap();
    println!("{}", f.warnings());
    let bad = text
        .replace("provider-addresses = [\"192.168.4.101\"]\n", "")
        .replace("10.0.1.0/24", "10.0.0.0/25")
        .replace("vsid = 6001", "vsid = 99\nmethd = 7")
        .replace(
            "host = \"host-2\"\nmac = \"0a:0a:00:00:00:07\"",
            "host = \"hst-2\"",
        )
        .replace("\"06:06:00:00:01:05\"", "\"06:06:00:00:01:07\"")
        .replace("[[host]]\nname = \"host-2\"", "[[host]]\nname=\"host-1\"");
    println!("{}", PolicyFile::parse(&bad, "three.toml").unwrap_err());
    println!(
        "{}",
        PolicyFile::parse("a = [1,\n b = 3\nc =\n", "three.toml").unwrap_err()
    );
    let (t, a) = allocate(
        &text.replace("provider-addresses = [\"192.168.4.101\"]\n", ""),
        "x",
    )
    .unwrap();
    assert_eq!(t, text);
    println!("{a:?}");
}
