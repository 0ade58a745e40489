//! The description of the API, made from the same shapes that requests are read by.

use serde_json::{Map, Value, json};

use super::routes::{Answer, ROUTES, Route, Verb};
use super::shape::{Field, Shape};
use crate::config::ApiConfig;

/// What answers are made of.
const SCHEMAS: &str = include_str!("schemas.json");

/// The document, in OpenAPI 3.1, of the routes that are served.
pub(super) fn document(config: &ApiConfig, served: impl Fn(&Route) -> bool) -> Value {
    let guarded = config.token.is_some() || config.basic_auth.is_some();
    let mut paths = Map::new();
    for route in ROUTES.iter().filter(|route| served(route)) {
        let verb = match route.verb {
            Verb::Get => "get",
            Verb::Post => "post",
        };
        let path = format!("{}/{}", config.prefix, route.name);
        paths.insert(path, json!({ verb: operation(route, guarded) }));
    }
    let mut schemes = Map::new();
    let mut security = Vec::new();
    for (wanted, name) in [
        (config.token.is_some(), "bearer"),
        (config.basic_auth.is_some(), "basic"),
    ] {
        if wanted {
            schemes.insert(name.to_owned(), json!({ "type": "http", "scheme": name }));
            security.push(json!({ name: [] }));
        }
    }
    let schemas: Value = serde_json::from_str(SCHEMAS).unwrap_or_default();
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "strawboss",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "pg-boss's API over HTTP, as pg-boss's own proxy has it and with more routes. What a request has \
                beyond its schema is dropped.",
            "license": { "name": "MIT", "identifier": "MIT" },
        },
        "paths": paths,
        "components": { "schemas": schemas, "securitySchemes": schemes },
    });
    if guarded {
        document["security"] = Value::Array(security);
    }
    document
}

fn operation(route: &Route, guarded: bool) -> Value {
    let failure = |description: &str| {
        json!({
            "description": description,
            "content": { "application/json": { "schema": reference("Failure") } },
        })
    };
    let result = json!({
        "type": "object",
        "required": ["ok", "result"],
        "properties": { "ok": { "const": true }, "result": answer(route.answer) },
        "additionalProperties": false,
    });
    let mut responses = json!({
        "200": { "description": "Done", "content": { "application/json": { "schema": result } } },
        "500": failure("pg-boss's schema, its rules or the database refuse; also a body that is no JSON"),
    });
    if route.shape.is_some() {
        responses["400"] = failure("The request does not fit its schema: the message is a JSON text, a list of issues");
    }
    if route.verb == Verb::Post {
        responses["413"] = failure("The body is larger than api.body_limit");
    }
    if guarded {
        responses["401"] = json!({
            "description": "No credentials, or wrong ones",
            "content": { "text/plain": { "schema": { "type": "string" } } },
        });
    }
    let mut operation = json!({
        "operationId": route.name,
        "tags": [route.tag],
        "summary": route.summary,
        "responses": responses,
    });
    match (route.verb, route.shape) {
        (Verb::Post, Some(shape)) => {
            operation["requestBody"] = json!({
                "required": super::shape::nothing(shape).is_none(),
                "content": { "application/json": { "schema": request(shape) } },
            });
        }
        (Verb::Get, Some(shape)) => {
            let parameters: Vec<_> = fields(shape).iter().map(parameter).collect();
            operation["parameters"] = Value::Array(parameters);
        }
        (_, None) => {}
    }
    operation
}

/// The properties of an object's shape.
fn fields(shape: &Shape) -> &'static [Field] {
    match shape {
        Shape::Object(fields) => fields,
        Shape::Checked(inner, ..) => fields(inner),
        _ => &[],
    }
}

fn parameter(field: &Field) -> Value {
    json!({
        "name": field.name,
        "in": "query",
        "required": field.required,
        "schema": request(&field.shape),
    })
}

/// The JSON Schema of what a shape reads.
fn request(shape: &Shape) -> Value {
    match shape {
        Shape::Text => json!({ "type": "string" }),
        Shape::Name => json!({ "type": "string", "minLength": 1 }),
        Shape::Number => json!({ "type": "number" }),
        Shape::Whole => json!({ "type": "integer" }),
        Shape::Count => json!({ "type": "integer", "minimum": 1 }),
        Shape::Flag | Shape::Truth => json!({ "type": "boolean" }),
        Shape::Moment => json!({ "type": "string", "format": "date-time" }),
        Shape::Data => json!({ "type": "object" }),
        Shape::Numbers => json!({ "type": "object", "additionalProperties": { "type": "number" } }),
        Shape::Choice(texts) => json!({ "type": "string", "enum": texts }),
        Shape::List(inner) => json!({ "type": "array", "items": request(inner) }),
        Shape::Either(shapes) => json!({ "anyOf": shapes.iter().map(request).collect::<Vec<_>>() }),
        Shape::Nullable(inner) => json!({ "anyOf": [request(inner), { "type": "null" }] }),
        Shape::Checked(inner, ..) => request(inner),
        Shape::Object(fields) => object(fields.iter()),
        Shape::Both(one, other) => object(fields(one).iter().chain(fields(other))),
    }
}

fn object<'f>(fields: impl Iterator<Item = &'f Field>) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for field in fields {
        properties.insert(field.name.to_owned(), request(&field.shape));
        if field.required {
            required.push(Value::from(field.name));
        }
    }
    let mut object = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        object["required"] = Value::Array(required);
    }
    object
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// The JSON Schema of a result.
fn answer(answer: Answer) -> Value {
    let list = |items: Value| json!({ "type": "array", "items": items });
    let or_null = |schema: Value| json!({ "anyOf": [schema, { "type": "null" }] });
    let uuid = || json!({ "type": "string", "format": "uuid" });
    match answer {
        Answer::Nothing => json!({ "type": "null" }),
        Answer::Flag => json!({ "type": "boolean" }),
        Answer::Number => json!({ "type": "integer", "minimum": 0 }),
        Answer::Version => json!({ "type": ["integer", "null"] }),
        Answer::Id => or_null(uuid()),
        Answer::Ids => or_null(list(uuid())),
        Answer::References => json!({ "type": "object", "additionalProperties": uuid() }),
        Answer::Command => reference("Command"),
        Answer::Updated => reference("Updated"),
        Answer::Upserted => reference("Upserted"),
        Answer::Jobs => json!({ "anyOf": [list(reference("Job")), list(reference("JobWithMetadata"))] }),
        Answer::JobsInFull => list(reference("JobWithMetadata")),
        Answer::Job => or_null(reference("JobWithMetadata")),
        Answer::Dependencies => list(reference("JobReference")),
        Answer::Queue => or_null(reference("Queue")),
        Answer::Queues => list(reference("Queue")),
        Answer::Stats => list(reference("QueueStats")),
        Answer::Keys => list(json!({ "type": "string" })),
        Answer::Schedules => list(reference("Schedule")),
        Answer::Bam => list(reference("BamStatus")),
        Answer::Instances => list(reference("Instance")),
        Answer::Preview => reference("RedrivePreview"),
        Answer::Meta => reference("Meta"),
    }
}
