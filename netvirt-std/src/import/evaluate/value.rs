//! The values of a script.

use std::fmt;
use std::rc::Rc;

use netvirt_core::MacAddress;

use crate::import::findings::{Noted, Result};
use crate::import::script::Block;
use crate::import::tables::{HostIndex, RowId};
use crate::policy_file::Span;

/// How deep values may lie in one another: the stack has an end.
pub const DEEPEST_VALUE: u8 = 16;

/// A value, and where in the script it was written.
#[derive(Debug, Clone)]
pub struct Item {
    pub value: Value,
    pub origin: Span,
}

#[derive(Debug, Clone)]
pub enum Value {
    Null,
    Flag(bool),
    Number(i64),
    Text(Rc<str>),
    Array(Rc<Array>),
    Table(Rc<Table>),
    Block(Rc<Block>),
    /// A host to which commands can be sent.
    Session(HostIndex),
    /// A virtual machine's network adapter, or all of them.
    Adapter(Rc<Adapter>),
    /// A row of one of the tables of network virtualization.
    Row(Rc<RowId>),
    /// What only the machine knows that runs the script, in the script's words.
    Unknown(Rc<str>),
}

#[derive(Debug)]
pub struct Array {
    pub items: Vec<Item>,
    depth: u8,
}

/// A hashtable; the keys as they were written.
#[derive(Debug)]
pub struct Table {
    pub entries: Vec<(Rc<str>, Item)>,
    depth: u8,
}

/// What a script says about an adapter to pick it.
#[derive(Debug, Clone)]
pub struct Adapter {
    pub host: HostIndex,
    pub machine: Item,
    pub name: Option<Rc<str>>,
    pub mac: Option<(MacAddress, Span)>,
}

/// What several statements yield together, if none of them went wrong.
#[derive(Debug)]
pub struct Yielded(Result<Vec<Item>>);

impl Default for Yielded {
    fn default() -> Self {
        Self(Ok(Vec::new()))
    }
}

impl Yielded {
    pub fn add(&mut self, more: Result<Vec<Item>>) {
        match (more, &mut self.0) {
            (Ok(more), Ok(all)) => all.extend(more),
            (Ok(_), Err(Noted)) => {}
            (Err(Noted), _) => self.0 = Err(Noted),
        }
    }

    pub fn all(self) -> Result<Vec<Item>> {
        self.0
    }
}

impl Item {
    pub fn new(value: Value, origin: &Span) -> Self {
        let origin = origin.clone();
        Self { value, origin }
    }

    /// The items of an array, or the one item that this is.
    pub fn items(&self) -> &[Item] {
        match &self.value {
            Value::Array(array) => &array.items,
            Value::Null => &[],
            _ => std::slice::from_ref(self),
        }
    }
}

impl Value {
    /// An array, if it is not too deep.
    pub fn array(items: Vec<Item>) -> Option<Self> {
        let depth = depth_above(&items)?;
        Some(Self::Array(Rc::new(Array { items, depth })))
    }

    /// A hashtable, if it is not too deep.
    pub fn table(entries: Vec<(Rc<str>, Item)>) -> Option<Self> {
        let depth = depth_above(entries.iter().map(|(_, item)| item))?;
        Some(Self::Table(Rc::new(Table { entries, depth })))
    }

    fn depth(&self) -> u8 {
        match self {
            Self::Array(array) => array.depth,
            Self::Table(table) => table.depth,
            _ => 0,
        }
    }

    /// What it is, as a message says it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Flag(_) => "$true or $false",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::Array(_) => "a list",
            Self::Table(_) => "a hashtable",
            Self::Block(_) => "a block of commands",
            Self::Session(_) => "a session",
            Self::Adapter(_) => "a network adapter",
            Self::Row(_) => "an entry of a table",
            Self::Unknown(_) => "a value that only the machine knows that runs the script",
        }
    }

    /// The value as text, if it is a single one.
    pub fn text(&self) -> Option<Rc<str>> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Number(number) => Some(number.to_string().into()),
            Self::Flag(flag) => Some(if *flag { "True" } else { "False" }.into()),
            Self::Null => Some("".into()),
            _ => None,
        }
    }
}

impl Table {
    /// The value of a key, whatever its case.
    pub fn get(&self, key: &str) -> Option<&Item> {
        let is_it = |(name, _): &&(Rc<str>, Item)| name.to_lowercase() == key.to_lowercase();
        self.entries.iter().find(is_it).map(|(_, item)| item)
    }
}

fn depth_above<'i>(items: impl IntoIterator<Item = &'i Item>) -> Option<u8> {
    let depths = items.into_iter().map(|item| item.value.depth());
    let depth = depths.max().unwrap_or(0) + 1;
    (depth <= DEEPEST_VALUE).then_some(depth)
}

/// Short, for messages.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text() {
            Some(text) => write!(f, "{text:?}"),
            None => f.write_str(self.kind()),
        }
    }
}
