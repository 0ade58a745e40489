//! The file's text as a tree that remembers its lines: placeholders filled in, unknown keys found.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::file::File;
use super::origin::dotted;
use super::placeholder::{self, Filled};
use super::schema::Known;

/// Where a key stands, and what was filled in in its value.
#[derive(Debug, Clone, Default)]
pub(super) struct Spot {
    /// The line, counted from 1.
    pub(super) line: usize,
    /// The variables of its value.
    pub(super) variables: Vec<String>,
}

/// Something wrong with a key, or with the text as a whole where the key is empty.
#[derive(Debug)]
pub(super) struct Complaint {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) message: String,
}

/// What came of a text.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Everything that could be read.
    pub(super) file: File,
    /// The keys, by their dotted path.
    pub(super) spots: BTreeMap<String, Spot>,
    /// Everything that could not.
    pub(super) complaints: Vec<Complaint>,
}

/// Reads a text. Keys for which `wanted` is false are passed over unread, the sections they are in included.
pub(super) fn read(
    text: &str,
    schema: &Value,
    environment: &dyn Fn(&str) -> Option<String>,
    wanted: &dyn Fn(&str) -> bool,
) -> Reading {
    let shelf = Shelf::default();
    let mut walk = Walk {
        text,
        shelf: &shelf,
        environment,
        wanted,
        spots: BTreeMap::new(),
        complaints: Vec::new(),
    };
    let mut root = match DeTable::parse(text) {
        Ok(root) => root,
        Err(error) => {
            let line = error.span().map_or(1, |span| walk.line(span.start));
            // The error's own text quotes the line, and with it whatever secret stands there.
            let message = format!("this is no TOML: {}", error.message().replace('\n', ", "));
            walk.complain(String::new(), line, message);
            return Reading {
                complaints: walk.complaints,
                ..Reading::default()
            };
        }
    };
    walk.table(root.get_mut(), Known(schema), "");
    let file = walk.deserialize(root);
    Reading {
        file,
        spots: walk.spots,
        complaints: walk.complaints,
    }
}

/// Keeps texts for as long as the tree lives, which borrows the text of every number.
#[derive(Default)]
struct Shelf(OnceCell<(String, Box<Shelf>)>);

impl Shelf {
    fn keep(&self, text: String) -> &str {
        let mut shelf = self;
        while let Some((_, next)) = shelf.0.get() {
            shelf = next;
        }
        &shelf.0.get_or_init(|| (text, Box::default())).0
    }
}

struct Walk<'a> {
    text: &'a str,
    shelf: &'a Shelf,
    environment: &'a dyn Fn(&str) -> Option<String>,
    wanted: &'a dyn Fn(&str) -> bool,
    spots: BTreeMap<String, Spot>,
    complaints: Vec<Complaint>,
}

impl<'a> Walk<'a> {
    fn line(&self, at: usize) -> usize {
        self.text.as_bytes()[..at.min(self.text.len())]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
            + 1
    }

    fn complain(&mut self, key: String, line: usize, message: String) {
        self.complaints.push(Complaint { key, line, message });
    }

    /// Notes every key, fills in every text, and takes out what cannot be read further.
    fn table(&mut self, table: &mut DeTable<'a>, known: Known<'_>, above: &str) {
        for (key, mut value) in std::mem::replace(table, DeTable::new()) {
            let path = dotted(above, key.get_ref());
            if !(self.wanted)(&path) {
                continue;
            }
            let line = self.line(key.span().start);
            let Some(known_key) = known.key(key.get_ref()) else {
                self.complain(path, line, unknown(key.get_ref(), known));
                continue;
            };
            let spot = Spot {
                line,
                variables: Vec::new(),
            };
            self.spots.insert(path.clone(), spot);
            if self.value(&mut value, known_key, &path, &path) {
                table.insert(key, value);
            }
        }
    }

    /// Whether the value can be read further; `noted` is the key whose spot remembers the variables.
    fn value(&mut self, value: &mut Spanned<DeValue<'a>>, known: Known<'_>, path: &str, noted: &str) -> bool {
        let line = self.line(value.span().start);
        match value.get_mut() {
            DeValue::Table(table) => {
                self.spots.entry(path.to_owned()).or_insert(Spot {
                    line,
                    variables: Vec::new(),
                });
                self.table(table, known, path);
            }
            DeValue::Array(values) => {
                for (n, value) in values.iter_mut().enumerate() {
                    if !self.value(value, known.element(), &format!("{path}[{n}]"), noted) {
                        return false;
                    }
                }
            }
            DeValue::String(text) => match placeholder::fill(text, self.environment) {
                Ok(Filled {
                    text: full,
                    variables,
                    filled,
                }) => {
                    let full = full.into_owned();
                    if filled && known.is_scalar() {
                        let Some(scalar) = scalar(self.shelf.keep(full), known) else {
                            let message = format!("once filled in, this is not {}", known.scalar_name());
                            self.complain(path.to_owned(), line, message);
                            return false;
                        };
                        *value.get_mut() = scalar;
                    } else {
                        *text = Cow::Owned(full);
                    }
                    if let Some(spot) = self.spots.get_mut(noted) {
                        spot.variables.extend(variables);
                    }
                }
                Err(trouble) => {
                    self.complain(path.to_owned(), line, trouble.to_string());
                    return false;
                }
            },
            _ => {}
        }
        true
    }

    /// Reads the tree into its struct. What has the wrong type is complained of and taken out, so that all of it is
    /// found in one go.
    fn deserialize(&mut self, mut root: Spanned<DeTable<'_>>) -> File {
        loop {
            let error = match File::deserialize(toml::Deserializer::from(root.clone())) {
                Ok(file) => return file,
                Err(error) => error,
            };
            let span = error.span().unwrap_or(0..0);
            let taken = take_out(root.get_mut(), &span, "");
            let line = self.line(span.start);
            self.complain(taken.clone().unwrap_or_default(), line, plain(error.message()));
            if taken.is_none() {
                return File::default();
            }
        }
    }
}

/// A number or truth value out of a filled-in text.
fn scalar<'v>(text: &'v str, known: Known<'_>) -> Option<DeValue<'v>> {
    let value = DeValue::parse(text.trim()).ok()?.into_inner();
    let fits = match value {
        DeValue::Integer(_) => known.takes("integer"),
        DeValue::Boolean(_) => known.takes("boolean"),
        _ => false,
    };
    fits.then_some(value)
}

fn unknown(key: &str, known: Known<'_>) -> String {
    let near = known
        .keys()
        .map(|name| (strsim::damerau_levenshtein(&key.to_lowercase(), name), name))
        .min_by_key(|(distance, _)| *distance);
    match near {
        Some((distance, name)) if distance <= key.len().max(name.len()) / 2 => {
            format!("unknown key; did you mean `{name}`?")
        }
        _ => {
            let names: Vec<_> = known.keys().collect();
            format!("unknown key; known here: {}", names.join(", "))
        }
    }
}

/// Takes the entry out that stands at the span, and says which it was.
fn take_out(table: &mut DeTable<'_>, span: &Range<usize>, above: &str) -> Option<String> {
    let holds = |range: Range<usize>| range.contains(&span.start);
    let mut here = None;
    for (key, value) in table.iter_mut() {
        let path = dotted(above, key.get_ref());
        let at_value = holds(value.span());
        let deeper = match value.get_mut() {
            DeValue::Table(inner) => take_out(inner, span, &path),
            DeValue::Array(values) => values.iter_mut().find_map(|value| match value.get_mut() {
                DeValue::Table(inner) => take_out(inner, span, &path),
                _ => None,
            }),
            _ => None,
        };
        if deeper.is_some() {
            return deeper;
        }
        if at_value || holds(key.span()) || array_holds(value.get_ref(), span) {
            here = Some((key.get_ref().to_string(), path));
        }
    }
    let (key, path) = here?;
    table.remove(key.as_str());
    Some(path)
}

fn array_holds(value: &DeValue<'_>, span: &Range<usize>) -> bool {
    match value {
        DeValue::Array(values) => values.iter().any(|value| value.span().contains(&span.start)),
        _ => false,
    }
}

/// Serde's words in plain ones. A text that was found is not repeated: it may have been filled in from a secret.
fn plain(message: &str) -> String {
    let message = message.split('\n').next().unwrap_or_default();
    if let Some(field) = message.strip_prefix("missing field ") {
        return format!("needs {field}");
    }
    if let Some((_, known)) = message
        .strip_prefix("unknown variant ")
        .and_then(|rest| rest.split_once(", expected "))
    {
        return format!("expected {known}");
    }
    let Some((found, expected)) = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))
        .and_then(|rest| rest.rsplit_once(", expected "))
    else {
        return message.to_owned();
    };
    let expected = match expected {
        "usize" | "u32" | "u64" => "a whole number, 0 or more",
        "i32" | "i64" => "a whole number",
        "a boolean" => "true or false",
        "a string" | "a borrowed string" => "a text",
        "a sequence" => "a list",
        "a map" => "a table",
        other if other.starts_with("struct ") => "a table",
        other => other,
    };
    let quoted = found.split('`').nth(1);
    let found = match (found, quoted) {
        (found, _) if found.starts_with("string") => "a text".to_owned(),
        (_, Some(value)) => value.to_owned(),
        ("sequence", _) => "a list".to_owned(),
        ("map", _) => "a table".to_owned(),
        (other, _) => other.to_owned(),
    };
    format!("expected {expected}, found {found}")
}
