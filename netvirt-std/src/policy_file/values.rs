//! What can be written as a value: each type of the field, what it is called and what is refused.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use netvirt_core::policy::{EcnPolicy, Reception, RouterAdvertisements, Uncovered};
use netvirt_core::{
    CustomerAddress, InvalidAddress, MacAddress, Prefix, ProviderAddress, ProviderGroup, VlanId,
    Vsid,
};
use toml::de::DeValue;
use uuid::Uuid;

use super::reader::{FromToml, Refusal};

impl From<InvalidAddress> for Refusal {
    fn from(invalid: InvalidAddress) -> Self {
        Self::Value(invalid.to_string())
    }
}

fn text<'v>(value: &'v DeValue<'_>) -> Result<&'v str, Refusal> {
    value.as_str().ok_or(Refusal::Type)
}

fn integer(value: &DeValue<'_>) -> Result<i128, Refusal> {
    let digits = value.as_integer().ok_or(Refusal::Type)?;
    i128::from_str_radix(digits.as_str(), digits.radix())
        .map_err(|_| Refusal::Value(format!("{digits} is too large: choose a smaller number")))
}

fn integer_in<T>(value: &DeValue<'_>, least: T, most: T) -> Result<T, Refusal>
where
    T: TryFrom<i128> + PartialOrd + fmt::Display,
{
    let number = integer(value)?;
    match T::try_from(number) {
        Ok(converted) if least <= converted && converted <= most => Ok(converted),
        _ => Err(Refusal::Value(format!(
            "{number} is outside {least}..={most}: choose one inside"
        ))),
    }
}

macro_rules! from_integer {
    ($($type:ident $expected:literal),*) => {$(
        impl FromToml for $type {
            const EXPECTED: &'static str = $expected;
            fn from_toml(value: &DeValue<'_>) -> Result<Self, Refusal> {
                integer_in(value, $type::MIN, $type::MAX)
            }
        }
    )*};
}

from_integer! {
    u8 "a number in 0..=255",
    u16 "a number in 0..=65535",
    u32 "a number below 2^32",
    u64 "a number below 2^64"
}

impl FromToml for bool {
    const EXPECTED: &'static str = "true or false";
    fn from_toml(value: &DeValue<'_>) -> Result<Self, Refusal> {
        value.as_bool().ok_or(Refusal::Type)
    }
}

impl FromToml for Vsid {
    const EXPECTED: &'static str = "a VSID, a number in 4096..=16777214";
    fn from_toml(value: &DeValue<'_>) -> Result<Self, Refusal> {
        match u32::try_from(integer(value)?) {
            Ok(number) => Ok(Self::new(number)?),
            Err(_) => integer_in(value, Self::MIN.get(), Self::MAX.get())
                .and_then(|number| Ok(Self::new(number)?)),
        }
    }
}

impl FromToml for VlanId {
    const EXPECTED: &'static str = "a VLAN id, a number in 1..=4094";
    fn from_toml(value: &DeValue<'_>) -> Result<Self, Refusal> {
        Ok(Self::new(integer_in(value, 1, 4094)?)?)
    }
}

impl FromToml for MacAddress {
    const EXPECTED: &'static str = "a MAC address such as \"06:06:00:00:00:05\"";
    fn from_toml(value: &DeValue<'_>) -> Result<Self, Refusal> {
        Ok(text(value)?.parse::<Self>()?.unicast()?)
    }
}

impl FromToml for Prefix {
    const EXPECTED: &'static str = "a prefix such as \"10.0.0.0/24\"";
    fn from_toml(value: &DeValue<'_>) -> Result<Self, Refusal> {
        Ok(text(value)?.parse()?)
    }
}

/// A prefix of single machines' addresses.
pub(super) struct UnicastPrefix(pub(super) Prefix);

impl FromToml for UnicastPrefix {
    const EXPECTED: &'static str = Prefix::EXPECTED;
    fn from_toml(value: &DeValue<'_>) -> Result<Self, Refusal> {
        let prefix = Prefix::from_toml(value)?;
        let address = prefix.address();
        let unfit = match address {
            _ if prefix.length() == 0 => "the whole address space",
            _ if address.is_multicast() => "multicast",
            _ if address.is_loopback() => "loopback",
            IpAddr::V6(v6) if v6.is_unicast_link_local() => "link-local",
            _ => return Ok(Self(prefix)),
        };
        Err(Refusal::Value(format!(
            "{prefix} is {unfit}: choose a unicast prefix, such as 10.0.0.0/24 or fd00:1::/64"
        )))
    }
}

/// Destinations of a route: a prefix of single machines' addresses, or all of them.
pub(super) struct RoutePrefix(pub(super) Prefix);

impl FromToml for RoutePrefix {
    const EXPECTED: &'static str = "a prefix such as \"10.0.0.0/24\" or \"0.0.0.0/0\"";
    fn from_toml(value: &DeValue<'_>) -> Result<Self, Refusal> {
        match Prefix::from_toml(value)? {
            everything if everything.length() == 0 => Ok(Self(everything)),
            _ => UnicastPrefix::from_toml(value).map(|prefix| Self(prefix.0)),
        }
    }
}

/// A prefix in which a gateway and at least one machine have room.
pub(super) struct SubnetPrefix(pub(super) Prefix);

impl FromToml for SubnetPrefix {
    const EXPECTED: &'static str = Prefix::EXPECTED;
    fn from_toml(value: &DeValue<'_>) -> Result<Self, Refusal> {
        let UnicastPrefix(prefix) = UnicastPrefix::from_toml(value)?;
        let longest = if prefix.address().is_ipv4() { 30 } else { 126 };
        if prefix.length() > longest {
            return Err(Refusal::Value(format!(
                "{prefix} has no room for a gateway and a machine: choose /{longest} or shorter"
            )));
        }
        Ok(Self(prefix))
    }
}

fn ip_address(text: &str) -> Result<IpAddr, Refusal> {
    text.parse().map_err(|_| {
        Refusal::Value(format!(
            "{text:?} is not an IP address: write it like 10.0.0.5 or 2001:db8::5"
        ))
    })
}

impl FromToml for CustomerAddress {
    const EXPECTED: &'static str = "a customer address such as \"10.0.0.5\"";
    fn from_toml(value: &DeValue<'_>) -> Result<Self, Refusal> {
        let address = ip_address(text(value)?)?;
        if address.is_unspecified() {
            return Err(Refusal::Value(format!(
                "{address} names no machine: a gateway's wildcard record is `gateway = true` in its \
                 [[vm]], on-link routes are the `prefixes` of a subnet"
            )));
        }
        Ok(Self::new(address)?)
    }
}

impl FromToml for ProviderAddress {
    const EXPECTED: &'static str = "a provider address such as \"192.168.4.11\"";
    fn from_toml(value: &DeValue<'_>) -> Result<Self, Refusal> {
        Ok(Self::new(ip_address(text(value)?)?)?)
    }
}

/// An address of a subnet that is said to be for many; whether it is depends on the prefixes of the subnet.
pub(super) struct GroupAddress(pub(super) IpAddr);

impl FromToml for GroupAddress {
    const EXPECTED: &'static str = "a multicast or broadcast address such as \"239.1.1.1\"";
    fn from_toml(value: &DeValue<'_>) -> Result<Self, Refusal> {
        ip_address(text(value)?).map(Self)
    }
}

impl FromToml for ProviderGroup {
    const EXPECTED: &'static str = "a multicast address such as \"239.192.0.1\"";
    fn from_toml(value: &DeValue<'_>) -> Result<Self, Refusal> {
        Ok(Self::new(ip_address(text(value)?)?)?)
    }
}

/// A name that the operator gave to something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(pub(super) String);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl FromToml for Name {
    const EXPECTED: &'static str = "a name in quotes";
    fn from_toml(value: &DeValue<'_>) -> Result<Self, Refusal> {
        let name = text(value)?;
        // `=` would make `--in NAME=FILE` ambiguous.
        let refused = |c: char| c == '=' || c.is_control();
        if name.is_empty() || name.trim() != name || name.contains(refused) {
            return Err(Refusal::Value(format!(
                "{name:?} is no name: use one or more characters, none of them `=` or a control \
                 character, no space at either end"
            )));
        }
        Ok(Self(name.into()))
    }
}

/// The name of a host, which is also that of a file: its switch's control socket.
#[derive(Debug)]
pub(super) struct HostName(pub(super) Name);

impl FromToml for HostName {
    const EXPECTED: &'static str = Name::EXPECTED;
    fn from_toml(value: &DeValue<'_>) -> Result<Self, Refusal> {
        let name = Name::from_toml(value)?;
        if name.0.contains('/') || name.0.starts_with('.') {
            return Err(Refusal::Value(format!(
                "{name} is no name of a host: its control socket is a file of this name, so use no `/`, and no `.` at the \
                 beginning"
            )));
        }
        Ok(Self(name))
    }
}

/// The name of a network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InterfaceName(pub(super) String);

impl InterfaceName {
    /// Takes what Linux takes for the name of a new interface and what does not upset a terminal.
    pub(super) fn new(name: &str) -> Option<Self> {
        const TAKEN: [&str; 5] = [".", "..", "all", "default", "lo"];
        // Linux would put a number in the place of a `%`.
        let refused = |c: char| c.is_whitespace() || c.is_control() || "/:%".contains(c);
        // It reads each byte for itself, as Latin-1, where this one is a space.
        let has_latin_space = name.bytes().any(|byte| byte == 0xa0);
        let is_good = (1..=15).contains(&name.len())
            && !TAKEN.contains(&name)
            && !name.contains(refused)
            && !has_latin_space;
        is_good.then(|| Self(name.into()))
    }
}

impl FromToml for InterfaceName {
    const EXPECTED: &'static str = "the name of a network interface such as \"tap0\"";
    fn from_toml(value: &DeValue<'_>) -> Result<Self, Refusal> {
        let name = text(value)?;
        Self::new(name).ok_or_else(|| {
            Refusal::Value(format!(
                "{name:?} is no interface name: use 1 to 15 bytes without spaces, `/`, `:` and `%`, \
                 and none of `.`, `..`, `all`, `default` and `lo`"
            ))
        })
    }
}

/// Where the machines' network namespaces lie that have only a name (ip-netns(8)).
const NAMED_NAMESPACES: &str = "/run/netns";

/// The path of a network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamespacePath(pub(super) PathBuf);

impl FromToml for NamespacePath {
    const EXPECTED: &'static str = "the name or the path of a network namespace such as \"blue-1\"";
    fn from_toml(value: &DeValue<'_>) -> Result<Self, Refusal> {
        let written = text(value)?;
        let is_path = written.starts_with('/') && !written.ends_with('/');
        let is_name = !matches!(written, "" | "." | "..") && !written.contains('/');
        if !(is_path || is_name) || written.contains(char::is_control) {
            return Err(Refusal::Value(format!(
                "{written:?} is no network namespace: give a name as `ip netns` shows it, or an \
                 absolute path"
            )));
        }
        // The longer path is an older name of the same directory.
        let written = written
            .strip_prefix("/var")
            .filter(|path| path.starts_with(NAMED_NAMESPACES))
            .unwrap_or(written);
        Ok(Self(Path::new(NAMED_NAMESPACES).join(written)))
    }
}

/// How a virtual machine hangs on the switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AttachmentKind {
    Tap,
    Veth,
}

impl FromToml for AttachmentKind {
    const EXPECTED: &'static str = "\"tap\" or \"veth\"";
    fn from_toml(value: &DeValue<'_>) -> Result<Self, Refusal> {
        word(value, &[("tap", Self::Tap), ("veth", Self::Veth)])
    }
}

/// The addresses from `first` to `last`, both included, of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AddressRange {
    pub(super) first: IpAddr,
    pub(super) last: IpAddr,
}

impl FromToml for AddressRange {
    const EXPECTED: &'static str = "a range such as \"192.168.4.100-192.168.4.199\"";
    fn from_toml(value: &DeValue<'_>) -> Result<Self, Refusal> {
        let written = text(value)?;
        let (first, last) = written.split_once('-').unwrap_or((written, written));
        let (first, last) = (ip_address(first.trim())?, ip_address(last.trim())?);
        if first.is_ipv4() != last.is_ipv4() || first > last {
            return Err(Refusal::Value(format!(
                "{first}-{last} is no range: write the lower address first, both of one family"
            )));
        }
        Ok(Self { first, last })
    }
}

/// Where a virtual machine hangs: a subnet by its VSID or its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SubnetReference {
    Vsid(Vsid),
    Name(Name),
}

impl FromToml for SubnetReference {
    const EXPECTED: &'static str = "the VSID or the name of a subnet";
    fn from_toml(value: &DeValue<'_>) -> Result<Self, Refusal> {
        if value.is_integer() {
            Vsid::from_toml(value).map(Self::Vsid)
        } else {
            Name::from_toml(value).map(Self::Name)
        }
    }
}

impl FromToml for Uuid {
    const EXPECTED: &'static str = "a GUID such as \"{11111111-2222-3333-4444-000000005001}\"";
    fn from_toml(value: &DeValue<'_>) -> Result<Self, Refusal> {
        let written = text(value)?;
        Self::try_parse(written).map_err(|_| {
            Refusal::Value(format!(
                "{written:?} is no GUID: write it like {{11111111-2222-3333-4444-000000005001}}"
            ))
        })
    }
}

/// One of a few words.
fn word<T: Copy>(value: &DeValue<'_>, words: &[(&str, T)]) -> Result<T, Refusal> {
    let written = text(value)?;
    let found = words.iter().find(|(word, _)| *word == written);
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let choices: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
        Refusal::Value(format!(
            "{written:?} means nothing here: choose {}",
            choices.join(" or ")
        ))
    })
}

/// How the packets of a subnet cross the provider network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SubnetMethod {
    Encapsulate,
    Rewrite,
    Transition,
}

impl SubnetMethod {
    /// Whether each customer address has a provider address of its own.
    pub(super) fn has_provider_addresses(self) -> bool {
        match self {
            Self::Encapsulate => false,
            Self::Rewrite | Self::Transition => true,
        }
    }
}

impl FromToml for SubnetMethod {
    const EXPECTED: &'static str = "\"encapsulate\", \"rewrite\" or \"transition\"";
    fn from_toml(value: &DeValue<'_>) -> Result<Self, Refusal> {
        word(
            value,
            &[
                ("encapsulate", Self::Encapsulate),
                ("rewrite", Self::Rewrite),
                ("transition", Self::Transition),
            ],
        )
    }
}

impl FromToml for Reception {
    const EXPECTED: &'static str = "\"strict\" or \"tolerant\"";
    fn from_toml(value: &DeValue<'_>) -> Result<Self, Refusal> {
        word(
            value,
            &[("strict", Self::Strict), ("tolerant", Self::Tolerant)],
        )
    }
}

impl FromToml for EcnPolicy {
    const EXPECTED: &'static str = "\"normal\" or \"compatible\"";
    fn from_toml(value: &DeValue<'_>) -> Result<Self, Refusal> {
        word(
            value,
            &[("normal", Self::Normal), ("compatible", Self::Compatible)],
        )
    }
}

impl FromToml for Uncovered {
    const EXPECTED: &'static str = "\"to-host\" or \"drop\"";
    fn from_toml(value: &DeValue<'_>) -> Result<Self, Refusal> {
        word(value, &[("to-host", Self::Punt), ("drop", Self::Refuse)])
    }
}

impl FromToml for RouterAdvertisements {
    const EXPECTED: &'static str = "\"off\", \"on-link\" or \"autonomous\"";
    fn from_toml(value: &DeValue<'_>) -> Result<Self, Refusal> {
        word(
            value,
            &[
                ("off", Self::Off),
                ("on-link", Self::OnLink),
                ("autonomous", Self::Autonomous),
            ],
        )
    }
}

/// A word that stands for a rule, or a fixed number of at most `MOST`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RuleOr<const MOST: u8> {
    Rule,
    Fixed(u8),
}

fn rule_or<const MOST: u8>(value: &DeValue<'_>, rule: &str) -> Result<RuleOr<MOST>, Refusal> {
    if value.is_integer() {
        integer_in(value, 0, MOST).map(RuleOr::Fixed)
    } else {
        word(value, &[(rule, RuleOr::Rule)])
    }
}

/// How the FlowID is chosen: `"per-flow"` or a number.
pub(super) type FlowIdSetting = RuleOr<255>;

impl FromToml for FlowIdSetting {
    const EXPECTED: &'static str = "\"per-flow\" or a number in 0..=255";
    fn from_toml(value: &DeValue<'_>) -> Result<Self, Refusal> {
        rule_or(value, "per-flow")
    }
}

/// The DSCP of the outer header: `"uniform"` or a number.
pub(super) type DscpSetting = RuleOr<63>;

impl FromToml for DscpSetting {
    const EXPECTED: &'static str = "\"uniform\" or a number in 0..=63";
    fn from_toml(value: &DeValue<'_>) -> Result<Self, Refusal> {
        rule_or(value, "uniform")
    }
}
