//! What is wrong with a request, in the form and the words of zod 4, which the proxy's clients know.

use serde::Serialize;

/// What instants have to look like, as zod prints it.
const MOMENT: &str = r"/^(?:(?:\d\d[2468][048]|\d\d[13579][26]|\d\d0[48]|[02468][048]00|[13579][26]00)-02-29|\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|(?:02)-(?:0[1-9]|1\d|2[0-8])))T(?:(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?(?:Z))$/";

/// One step from a value into it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Step {
    Name(&'static str),
    Key(String),
    Index(usize),
}

/// One thing that is wrong. The order of the properties is zod's, for they are compared as text.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Issue {
    Kind {
        expected: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        format: Option<&'static str>,
        code: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        received: Option<&'static str>,
        path: Vec<Step>,
        message: String,
    },
    Size {
        origin: &'static str,
        code: &'static str,
        minimum: u8,
        inclusive: bool,
        path: Vec<Step>,
        message: String,
    },
    Highest {
        code: &'static str,
        maximum: i64,
        note: &'static str,
        origin: &'static str,
        inclusive: bool,
        path: Vec<Step>,
        message: String,
    },
    Lowest {
        code: &'static str,
        minimum: i64,
        note: &'static str,
        origin: &'static str,
        inclusive: bool,
        path: Vec<Step>,
        message: String,
    },
    Format {
        origin: &'static str,
        code: &'static str,
        format: &'static str,
        pattern: &'static str,
        path: Vec<Step>,
        message: String,
    },
    Choice {
        code: &'static str,
        values: &'static [&'static str],
        path: Vec<Step>,
        message: String,
    },
    Union {
        code: &'static str,
        errors: Vec<Vec<Issue>>,
        path: Vec<Step>,
        message: String,
    },
    Custom {
        code: &'static str,
        path: Vec<Step>,
        message: String,
    },
}

const SAFE: i64 = 9_007_199_254_740_991;
const NOTE: &str = "Integers must be within the safe integer range.";

impl Issue {
    fn typed(
        path: Vec<Step>,
        expected: &'static str,
        format: Option<&'static str>,
        received: Option<&'static str>,
        kind: &str,
    ) -> Issue {
        Issue::Kind {
            expected,
            format,
            code: "invalid_type",
            received,
            path,
            message: format!("Invalid input: expected {expected}, received {kind}"),
        }
    }

    pub fn kind(path: Vec<Step>, expected: &'static str, kind: &str) -> Issue {
        Issue::typed(path, expected, None, None, kind)
    }

    pub fn number(path: Vec<Step>, received: &'static str) -> Issue {
        Issue::typed(path, "number", None, Some(received), received)
    }

    pub fn whole(path: Vec<Step>) -> Issue {
        Issue::typed(path, "int", Some("safeint"), None, "number")
    }

    pub fn unsafe_whole(path: Vec<Step>, too_big: bool) -> Issue {
        if too_big {
            Issue::Highest {
                code: "too_big",
                maximum: SAFE,
                note: NOTE,
                origin: "int",
                inclusive: true,
                path,
                message: format!("Too big: expected int to be <={SAFE}"),
            }
        } else {
            Issue::Lowest {
                code: "too_small",
                minimum: -SAFE,
                note: NOTE,
                origin: "int",
                inclusive: true,
                path,
                message: format!("Too small: expected int to be >={}", -SAFE),
            }
        }
    }

    pub fn not_positive(path: Vec<Step>) -> Issue {
        Issue::Size {
            origin: "number",
            code: "too_small",
            minimum: 0,
            inclusive: false,
            path,
            message: "Too small: expected number to be >0".to_owned(),
        }
    }

    pub fn empty(path: Vec<Step>) -> Issue {
        Issue::Size {
            origin: "string",
            code: "too_small",
            minimum: 1,
            inclusive: true,
            path,
            message: "Too small: expected string to have >=1 characters".to_owned(),
        }
    }

    pub fn moment(path: Vec<Step>) -> Issue {
        Issue::Format {
            origin: "string",
            code: "invalid_format",
            format: "datetime",
            pattern: MOMENT,
            path,
            message: "Invalid ISO datetime".to_owned(),
        }
    }

    pub fn choice(path: Vec<Step>, values: &'static [&'static str]) -> Issue {
        let quoted: Vec<_> = values.iter().map(|value| format!("\"{value}\"")).collect();
        Issue::Choice {
            code: "invalid_value",
            values,
            path,
            message: format!("Invalid option: expected one of {}", quoted.join("|")),
        }
    }

    pub fn union(path: Vec<Step>, errors: Vec<Vec<Issue>>) -> Issue {
        Issue::Union {
            code: "invalid_union",
            errors,
            path,
            message: "Invalid input".to_owned(),
        }
    }

    pub fn custom(path: Vec<Step>, message: &str) -> Issue {
        Issue::Custom {
            code: "custom",
            path,
            message: message.to_owned(),
        }
    }

    /// Whether nothing further is said of a value that has this.
    pub fn is_final(&self) -> bool {
        !matches!(
            self,
            Issue::Size { .. }
                | Issue::Highest { .. }
                | Issue::Lowest { .. }
                | Issue::Format { .. }
                | Issue::Custom { .. }
        )
    }

    /// All of them as the text that is answered.
    pub fn message(issues: &[Issue]) -> String {
        serde_json::to_string_pretty(issues).unwrap_or_else(|_| "[]".to_owned())
    }
}
