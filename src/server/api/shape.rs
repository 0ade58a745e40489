//! What a request looks like, and what is read of it: the value itself, or all that is wrong with it.
//!
//! As the proxy's validator has it: nothing is converted, nothing is null unless it may be, and what a shape does not
//! know is dropped at every level. Job data is not looked into.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::issue::{Issue, Step};

/// What a value has to look like.
#[derive(Debug)]
pub(super) enum Shape {
    /// Any text.
    Text,
    /// A text that is not empty.
    Name,
    /// Any finite number.
    Number,
    /// A whole number that JavaScript can tell from its neighbours.
    Whole,
    /// A positive whole number out of a query, where all is text.
    Count,
    /// `true` or `false`.
    Flag,
    /// `true` or `false` out of a query.
    Truth,
    /// An instant in ISO 8601 with `Z` for its zone.
    Moment,
    /// Any object.
    Data,
    /// An object whose values are numbers.
    Numbers,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// Any number of these.
    List(&'static Shape),
    /// The first of these that fits.
    Either(&'static [Shape]),
    /// This, or null.
    Nullable(&'static Shape),
    /// An object with these, and whatever else.
    Object(&'static [Field]),
    /// The properties of two objects in one.
    Both(&'static Shape, &'static Shape),
    /// A shape that has to hold in itself, and what is said of it where it does not.
    Checked(&'static Shape, Check, &'static str),
}

/// A rule between the properties of an object.
pub(super) type Check = fn(&Table<'_>) -> bool;

/// A property.
#[derive(Debug)]
pub(super) struct Field {
    pub name: &'static str,
    pub required: bool,
    pub shape: Shape,
}

/// What was read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Flag(bool),
    Number(f64),
    Text(Cow<'a, str>),
    Moment(DateTime<Utc>),
    Data(Raw<'a>),
    Numbers(Vec<(String, f64)>),
    List(Vec<Value<'a>>),
    Table(Table<'a>),
}

/// JSON as it was written, compared by its text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Raw<'a>(pub &'a RawValue);

impl PartialEq for Raw<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

/// The properties that were given, of those a shape knows.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Table<'a>(Vec<(&'static str, Value<'a>)>);

impl<'a> Table<'a> {
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.0.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// A property, or nothing where it is null.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn number(&self, name: &str) -> Option<f64> {
        match self.get(name)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.get(name)? {
            Value::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    pub fn moment(&self, name: &str) -> Option<DateTime<Utc>> {
        match self.get(name)? {
            Value::Moment(moment) => Some(*moment),
            _ => None,
        }
    }

    pub fn data(&self, name: &str) -> Option<&'a RawValue> {
        match self.get(name)? {
            Value::Data(Raw(raw)) => Some(raw),
            _ => None,
        }
    }

    pub fn table(&self, name: &str) -> Option<&Table<'a>> {
        match self.get(name)? {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// Its properties as they were written; those that have no place in options (moments, data, lists) are left out.
    pub fn json(&self) -> serde_json::Map<String, serde_json::Value> {
        let value = |value: &Value<'_>| match value {
            Value::Flag(flag) => Some((*flag).into()),
            Value::Text(text) => Some(text.as_ref().into()),
            // JavaScript writes no fraction where there is none.
            Value::Number(number) if number.fract() == 0.0 && number.abs() < 9e15 => Some((*number as i64).into()),
            Value::Number(number) => Some((*number).into()),
            Value::Table(table) => Some(table.json().into()),
            Value::Null | Value::Moment(_) | Value::Data(_) | Value::Numbers(_) | Value::List(_) => None,
        };
        let properties = self.0.iter();
        properties
            .filter_map(|(name, given)| Some(((*name).to_owned(), value(given)?)))
            .collect()
    }

    /// The tables of a list.
    pub fn tables(&self, name: &str) -> impl Iterator<Item = &Table<'a>> {
        let values = match self.get(name) {
            Some(Value::List(values)) => values.as_slice(),
            _ => &[],
        };
        values.iter().filter_map(|value| match value {
            Value::Table(table) => Some(table),
            _ => None,
        })
    }

    /// The texts of a list, or the one that stands in its place.
    pub fn texts(&self, name: &str) -> Option<Vec<&str>> {
        match self.get(name)? {
            Value::Text(text) => Some(vec![text]),
            Value::List(values) => Some(
                values
                    .iter()
                    .filter_map(|value| match value {
                        Value::Text(text) => Some(text.as_ref()),
                        _ => None,
                    })
                    .collect(),
            ),
            _ => None,
        }
    }
}

/// Reads a value of a shape.
///
/// # Errors
/// All that is wrong with it.
pub(super) fn read<'a>(shape: &Shape, given: &'a RawValue) -> Result<Value<'a>, Vec<Issue>> {
    let mut reading = Reading::default();
    match reading.value(shape, Some(given)) {
        Some(value) if reading.issues.is_empty() => Ok(value),
        _ => Err(reading.issues),
    }
}

/// The table a shape of an object makes of nothing, where it asks for nothing.
pub(super) fn nothing(shape: &Shape) -> Option<Table<'static>> {
    match shape {
        Shape::Object(fields) if fields.iter().all(|field| !field.required) => Some(Table::default()),
        _ => None,
    }
}

#[derive(Default)]
struct Reading {
    path: Vec<Step>,
    issues: Vec<Issue>,
}

impl Reading {
    fn refuse(&mut self, issue: impl FnOnce(Vec<Step>) -> Issue) {
        self.issues.push(issue(self.path.clone()));
    }

    fn expected(&mut self, expected: &'static str, given: Option<&RawValue>) {
        let kind = Kind::of(given);
        self.refuse(|path| Issue::kind(path, expected, kind.name()));
    }

    fn value<'a>(&mut self, shape: &Shape, given: Option<&'a RawValue>) -> Option<Value<'a>> {
        let kind = Kind::of(given);
        match (shape, kind, given) {
            (Shape::Text, Kind::Text, Some(raw)) => Some(Value::Text(text(raw))),
            (Shape::Name, Kind::Text, Some(raw)) => {
                let name = text(raw);
                if name.is_empty() {
                    self.refuse(Issue::empty);
                }
                Some(Value::Text(name))
            }
            (Shape::Number, Kind::Number, Some(raw)) => self.number(number(raw)),
            (Shape::Whole, Kind::Number, Some(raw)) => {
                let Some(Value::Number(number)) = self.number(number(raw)) else {
                    return None;
                };
                self.whole(number).then_some(Value::Number(number))
            }
            (Shape::Count, _, _) => self.count(kind, given),
            (Shape::Flag, Kind::Flag, Some(raw)) => Some(Value::Flag(raw.get() == "true")),
            (Shape::Truth, Kind::Text, Some(raw)) if matches!(&*text(raw), "true" | "false") => {
                Some(Value::Flag(text(raw) == "true"))
            }
            (Shape::Moment, Kind::Text, Some(raw)) => {
                let moment = moment(&text(raw));
                if moment.is_none() {
                    self.refuse(Issue::moment);
                }
                moment.map(Value::Moment)
            }
            (Shape::Data, Kind::Object, Some(raw)) => Some(Value::Data(Raw(raw))),
            (Shape::Numbers, Kind::Object, Some(raw)) => {
                let mut numbers = Vec::new();
                for (name, raw) in members(raw) {
                    self.path.push(Step::Key(name.clone().into_owned()));
                    if let Some(Value::Number(number)) = self.value(&Shape::Number, Some(raw)) {
                        numbers.push((name.into_owned(), number));
                    }
                    self.path.pop();
                }
                Some(Value::Numbers(numbers))
            }
            (Shape::Choice(texts), Kind::Text, Some(raw)) if texts.contains(&&*text(raw)) => {
                Some(Value::Text(text(raw)))
            }
            (Shape::List(shape), Kind::Array, Some(raw)) => {
                let elements: Vec<&RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
                let mut values = Vec::with_capacity(elements.len());
                for (n, element) in elements.into_iter().enumerate() {
                    self.path.push(Step::Index(n));
                    values.extend(self.value(shape, Some(element)));
                    self.path.pop();
                }
                Some(Value::List(values))
            }
            (Shape::Either(shapes), _, _) => self.either(shapes, given),
            (Shape::Nullable(_), Kind::Null, _) => Some(Value::Null),
            (Shape::Nullable(shape), _, _) => self.value(shape, given),
            (Shape::Object(fields), Kind::Object, Some(raw)) => Some(Value::Table(self.object(fields, raw))),
            (Shape::Both(one, other), _, _) => match (self.value(one, given), self.value(other, given)) {
                (Some(Value::Table(mut table)), Some(Value::Table(more))) => {
                    table.0.extend(more.0);
                    Some(Value::Table(table))
                }
                _ => None,
            },
            (Shape::Checked(shape, check, message), _, _) => {
                let before = self.issues.len();
                let value = self.value(shape, given);
                if let Some(Value::Table(table)) = &value
                    && !self.issues[before..].iter().any(Issue::is_final)
                    && !check(table)
                {
                    self.refuse(|path| Issue::custom(path, message));
                }
                value
            }
            (Shape::Text | Shape::Name | Shape::Moment, _, _) => self.unfit("string", given),
            (Shape::Number | Shape::Whole, _, _) => self.unfit("number", given),
            (Shape::Flag, _, _) => self.unfit("boolean", given),
            (Shape::Data | Shape::Numbers, _, _) => self.unfit("record", given),
            (Shape::List(_), _, _) => self.unfit("array", given),
            (Shape::Object(_), _, _) => self.unfit("object", given),
            (Shape::Truth, _, _) => self.no_choice(&["true", "false"]),
            (Shape::Choice(texts), _, _) => self.no_choice(texts),
        }
    }

    fn unfit<'a>(&mut self, expected: &'static str, given: Option<&RawValue>) -> Option<Value<'a>> {
        self.expected(expected, given);
        None
    }

    fn no_choice<'a>(&mut self, texts: &'static [&'static str]) -> Option<Value<'a>> {
        self.refuse(|path| Issue::choice(path, texts));
        None
    }

    fn number<'a>(&mut self, number: f64) -> Option<Value<'a>> {
        if number.is_finite() {
            return Some(Value::Number(number));
        }
        let name = if number.is_nan() { "NaN" } else { "Infinity" };
        self.refuse(|path| Issue::number(path, name));
        None
    }

    /// Whether that is a whole number as far as going on makes sense.
    fn whole(&mut self, number: f64) -> bool {
        const SAFE: f64 = 9_007_199_254_740_991.0;
        if number.fract() != 0.0 {
            self.refuse(Issue::whole);
            return false;
        }
        if number.abs() > SAFE {
            self.refuse(|path| Issue::unsafe_whole(path, number > 0.0));
        }
        true
    }

    fn count<'a>(&mut self, kind: Kind, given: Option<&'a RawValue>) -> Option<Value<'a>> {
        let number = match (kind, given) {
            (Kind::Text, Some(raw)) => coerced(&text(raw)),
            _ => f64::NAN,
        };
        let value = self.number(number)?;
        if self.whole(number) && number <= 0.0 {
            self.refuse(Issue::not_positive);
        }
        Some(value)
    }

    fn either<'a>(&mut self, shapes: &[Shape], given: Option<&'a RawValue>) -> Option<Value<'a>> {
        let mut errors = Vec::with_capacity(shapes.len());
        for shape in shapes {
            let mut reading = Reading::default();
            let value = reading.value(shape, given);
            if reading.issues.is_empty() {
                return value;
            }
            errors.push(reading.issues);
        }
        self.refuse(|path| Issue::union(path, errors));
        None
    }

    fn object<'a>(&mut self, fields: &'static [Field], raw: &'a RawValue) -> Table<'a> {
        let members = members(raw);
        let mut table = Table::default();
        for Field { name, required, shape } in fields {
            // Of two properties of one name JavaScript keeps the last.
            let given = members.iter().rev().find(|(key, _)| key == name).map(|(_, raw)| *raw);
            if given.is_none() && !required {
                continue;
            }
            self.path.push(Step::Name(name));
            if let Some(value) = self.value(shape, given) {
                table.0.push((name, value));
            }
            self.path.pop();
        }
        table
    }
}

/// What JavaScript calls a JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Undefined,
    Null,
    Flag,
    Number,
    Text,
    Array,
    Object,
}

impl Kind {
    fn of(given: Option<&RawValue>) -> Kind {
        match given.map(|raw| raw.get().as_bytes().first()) {
            None | Some(None) => Kind::Undefined,
            Some(Some(b'n')) => Kind::Null,
            Some(Some(b't' | b'f')) => Kind::Flag,
            Some(Some(b'"')) => Kind::Text,
            Some(Some(b'[')) => Kind::Array,
            Some(Some(b'{')) => Kind::Object,
            Some(Some(_)) => Kind::Number,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Undefined => "undefined",
            Kind::Null => "null",
            Kind::Flag => "boolean",
            Kind::Number => "number",
            Kind::Text => "string",
            Kind::Array => "array",
            Kind::Object => "object",
        }
    }
}

/// A text without its quotes. Half a surrogate, which JSON allows and UTF-8 does not, reads as the replacement character.
fn text(raw: &RawValue) -> Cow<'_, str> {
    struct Lossy<'a>(Cow<'a, str>);
    struct Bytes;
    impl<'de> Visitor<'de> for Bytes {
        type Value = Lossy<'de>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text")
        }

        fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Lossy<'de>, E> {
            Ok(Lossy(String::from_utf8_lossy(bytes)))
        }

        fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Lossy<'de>, E> {
            Ok(Lossy(Cow::Owned(String::from_utf8_lossy(bytes).into_owned())))
        }
    }
    impl<'de: 'a, 'a> Deserialize<'de> for Lossy<'a> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_bytes(Bytes)
        }
    }
    serde_json::from_str::<Lossy<'_>>(raw.get()).map_or(Cow::Borrowed(""), |Lossy(text)| text)
}

/// A number; one that is too large is infinite, as in JavaScript.
fn number(raw: &RawValue) -> f64 {
    raw.get().parse().unwrap_or(f64::NAN)
}

/// A number out of a text, as JavaScript's `Number` reads it.
fn coerced(text: &str) -> f64 {
    let text = text.trim();
    let radix = [("0x", 16), ("0o", 8), ("0b", 2)];
    let lower = text.to_ascii_lowercase();
    for (mark, radix) in radix {
        if let Some(digits) = lower.strip_prefix(mark) {
            let positive = !digits.starts_with(['+', '-']);
            #[expect(clippy::cast_precision_loss, reason = "JavaScript has no other numbers")]
            return u64::from_str_radix(digits, radix).map_or(f64::NAN, |n| if positive { n as f64 } else { f64::NAN });
        }
    }
    match text.trim_start_matches(['+', '-']) {
        "" if text.is_empty() => 0.0,
        "Infinity" => f64::INFINITY,
        digits
            if digits
                .bytes()
                .all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte)) =>
        {
            text.parse().unwrap_or(f64::NAN)
        }
        _ => f64::NAN,
    }
}

/// An instant written as `2026-11-27T08:00:00Z`, with any number of decimals, of which three count.
fn moment(text: &str) -> Option<DateTime<Utc>> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let digits = |text: &str, length: usize| -> Option<u32> {
        let all = text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| all)
    };
    let mut date = date.split('-');
    let (year, month, day) = (
        digits(date.next()?, 4)?,
        digits(date.next()?, 2)?,
        digits(date.next()?, 2)?,
    );
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut time = time.split(':');
    let (hour, minute, second) = (
        digits(time.next()?, 2)?,
        digits(time.next()?, 2)?,
        digits(time.next()?, 2)?,
    );
    if date.next().is_some() || time.next().is_some() {
        return None;
    }
    digits(&fraction[..fraction.len().min(9)], fraction.len().min(9)).filter(|_| !fraction.is_empty())?;
    let fractional = fraction.bytes().all(|byte| byte.is_ascii_digit());
    let milliseconds = format!("{fraction:0<3.3}").parse().ok().filter(|_| fractional)?;
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    Some(date.and_hms_milli_opt(hour, minute, second, milliseconds)?.and_utc())
}

/// The properties of an object in the order they are written.
fn members(raw: &RawValue) -> Vec<(Cow<'_, str>, &RawValue)> {
    struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);
    struct All;
    impl<'de> Visitor<'de> for All {
        type Value = Members<'de>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
            let mut members = Vec::new();
            while let Some((Key(key), value)) = map.next_entry()? {
                members.push((key, value));
            }
            Ok(Members(members))
        }
    }
    impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(All)
        }
    }
    #[derive(serde::Deserialize)]
    struct Key<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str(raw.get()).map_or_else(|_| Vec::new(), |Members(members)| members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_coerced_as_javascript_does() {
        for (text, number) in [
            ("5", 5.0),
            (" 5 ", 5.0),
            ("", 0.0),
            ("0x10", 16.0),
            ("1e3", 1000.0),
            (".5", 0.5),
            ("+1", 1.0),
        ] {
            assert_eq!(coerced(text), number, "{text}");
        }
        for text in ["x", "1 2", "inf", "nan", "5n", "--1", "0x-1", "1e"] {
            assert!(coerced(text).is_nan(), "{text}");
        }
        assert!(coerced("Infinity").is_infinite());
    }

    #[test]
    fn instants_have_a_zone_and_exist() {
        let at = |text| moment(text).map(|moment| moment.timestamp_millis());
        assert_eq!(at("1970-01-01T00:00:01Z"), Some(1000));
        assert_eq!(at("1970-01-01T00:00:00.5Z"), Some(500));
        assert_eq!(at("1970-01-01T00:00:00.1239999999999Z"), Some(123));
        assert!(at("2024-02-29T00:00:00Z").is_some());
        for text in [
            "2023-02-29T00:00:00Z",
            "2026-01-01",
            "2026-01-01T00:00Z",
            "2026-01-01T00:00:00+00:00",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T24:00:00Z",
            "2026-1-01T00:00:00Z",
            "2026-01-01T00:00:00.1xZ",
            "x",
            "+026-01-01T00:00:00Z",
        ] {
            assert_eq!(at(text), None, "{text}");
        }
    }

    #[test]
    fn half_a_surrogate_is_replaced() {
        let raw = serde_json::from_str::<&RawValue>(r#""a\ud800b""#).expect("JSON allows it");
        assert!(text(raw).starts_with("a\u{fffd}"));
    }
}
