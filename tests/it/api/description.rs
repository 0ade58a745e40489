//! `/openapi.json` says what is true, and `/docs` shows it.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};

use super::replay::recorded;
use super::{Proxy, serving};
use crate::support::client::{get, request};
use crate::support::{Boss, Release, Schema, needs_node};

/// The schemas of a description, each compiled once.
struct Schemas<'d> {
    document: &'d Value,
    compiled: HashMap<String, Option<jsonschema::Validator>>,
}

impl Schemas<'_> {
    /// The one in that place, with what it refers to.
    fn at(&mut self, pointer: &str) -> Option<&jsonschema::Validator> {
        let compile = || {
            let whole = json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "components": self.document["components"],
                "allOf": [self.document.pointer(pointer)?],
            });
            let options = jsonschema::options().should_validate_formats(true);
            Some(
                options
                    .build(&whole)
                    .unwrap_or_else(|error| panic!("{pointer}: {error}")),
            )
        };
        let compiled = self.compiled.entry(pointer.to_owned()).or_insert_with(compile);
        compiled.as_ref()
    }
}

/// One segment of a JSON pointer.
fn escaped(path: &str) -> String {
    path.replace('~', "~0").replace('/', "~1")
}

/// What the recorded requests leave out.
fn more() -> Vec<(&'static str, String, Option<Value>)> {
    let id = "00000000-0000-4000-8000-0000000000";
    let post = |route: &str, body: Value| ("POST", format!("/api/{route}"), Some(body));
    let ask = |query: String| ("GET", format!("/api/{query}"), None);
    vec![
        post(
            "createQueue",
            json!({ "name": "more", "options": { "heartbeatSeconds": 60, "deadLetter": "more-dead" } }),
        ),
        post("createQueue", json!({ "name": "more-dead" })),
        post(
            "createQueue",
            json!({ "name": "more", "options": { "heartbeatSeconds": 60, "deadLetter": "more-dead", "retryLimit": 0 } }),
        ),
        post(
            "send",
            json!({ "name": "more", "data": { "n": 12345678901234567890_u64 }, "options": { "id": format!("{id}a0") } }),
        ),
        post("fetch", json!({ "name": "more" })),
        post("touch", json!({ "name": "more", "id": format!("{id}a0") })),
        post("restore", json!({ "name": "more", "id": format!("{id}a0") })),
        ask(format!("getJobById?name=more&id={id}a0")),
        ask(format!("getJobById?name=more&id={id}a1")),
        post(
            "fetch",
            json!({ "name": "more", "options": { "includeMetadata": true } }),
        ),
        post(
            "fail",
            json!({ "name": "more", "id": format!("{id}a0"), "data": { "why": "on purpose" } }),
        ),
        post("previewRedrive", json!({ "name": "more-dead" })),
        ask("findJobs?name=more-dead".to_owned()),
        post("redrive", json!({ "name": "more-dead" })),
        ask("getQueues".to_owned()),
        post("resolveFlow", json!({})),
        ask("getInstances".to_owned()),
    ]
}

#[tokio::test]
async fn every_answer_is_as_described() {
    needs_node!();
    for release in [Release::V12_27_0, Release::V12_38_0] {
        let on = Schema::new(release).await;
        let proxy = Proxy::with(serving(&on)).await;
        let document = get(proxy.address, "/openapi.json").await.json();
        assert_eq!(document["openapi"], "3.1.0");
        let paths = document["paths"].as_object().expect("paths");
        assert_eq!(paths.len(), 46);

        let mut schemas = Schemas {
            document: &document,
            compiled: HashMap::new(),
        };
        // One that registers itself, where there is a register.
        let registered = release == Release::NEWEST;
        let boss = Boss::start(release, &on.url, &on.name, json!({})).await;
        let session = recorded().into_iter().next().expect("the first is the plain one");
        let asked = session.exchanges.into_iter().filter_map(|exchange| {
            let (verb, path, body, headers) = exchange.request;
            let kind = headers.get("content-type");
            let json = body.is_none() || kind.is_some_and(|kind| kind == "application/json");
            let body = body.map(|body| serde_json::from_str(&body)).transpose().ok()?;
            (json && (verb == "GET" || body.is_some())).then_some((verb, path, body))
        });
        let more = more()
            .into_iter()
            .map(|(verb, path, body)| (verb.to_owned(), path, body));
        let (mut seen, mut refused, mut unfit) = (BTreeSet::new(), 0, 0);
        for (verb, path, body) in asked.chain(more) {
            let route = path.split('?').next().expect("a path").to_owned();
            let operation = format!("/paths/{}/{}", escaped(&route), verb.to_lowercase());
            let text = body.as_ref().map(Value::to_string);
            let headers = [("content-type", "application/json".to_owned())];
            let headers = if body.is_some() { &headers[..] } else { &[] };
            let answer = request(proxy.address, &verb, &path, headers, text.as_deref()).await;
            if document.pointer(&operation).is_none() {
                assert_eq!(answer.status, 404, "{verb} {path}");
                continue;
            }
            let about = format!("{release} {verb} {path} {}: {}", text.unwrap_or_default(), answer.body);
            let place = format!(
                "{operation}/responses/{}/content/application~1json/schema",
                answer.status
            );
            let described = schemas.at(&place).unwrap_or_else(|| panic!("not described: {about}"));
            if let Err(error) = described.validate(&answer.json()) {
                panic!("{error} at {}\n{about}", error.instance_path());
            }
            if answer.status == 200 {
                seen.insert(route);
            }
            // What is taken is described as taken, and nearly all that is refused as refused.
            if let Some(body) = &body {
                let place = format!("{operation}/requestBody/content/application~1json/schema");
                let valid = schemas.at(&place).expect("a body").is_valid(body);
                assert!(valid || answer.status == 400, "{about}");
                if answer.status == 400 {
                    refused += 1;
                    unfit += usize::from(!valid);
                }
            }
        }
        drop(boss);
        let mut described: BTreeSet<_> = paths.keys().cloned().collect();
        if !registered {
            described.remove("/api/getInstances");
        }
        assert_eq!(seen, described, "every route has an answer that was looked at");
        // A rule between two priorities has no words in JSON Schema.
        assert!(refused > 100 && refused - unfit <= 3, "{unfit} of {refused}");
        assert!(proxy.end().await.is_clean());
    }
}

#[tokio::test]
async fn the_description_is_of_what_is_served() {
    let on = Schema::new(Release::NEWEST).await;
    let mut config = serving(&on);
    config.api.prefix = "/boss".to_owned();
    config.api.allow = vec!["send".to_owned(), "getQueue".to_owned()];
    config.api.deny = vec!["getQueue".to_owned()];
    config.api.token = Some(strawboss::config::Secret::new("t"));
    let proxy = Proxy::with(config).await;
    let document = get(proxy.address, "/openapi.json").await.json();
    let paths: Vec<_> = document["paths"].as_object().expect("paths").keys().cloned().collect();
    assert_eq!(paths, ["/boss/meta", "/boss/send"]);
    assert_eq!(document["security"], json!([{ "bearer": [] }]));
    assert!(document.pointer("/paths/~1boss~1send/post/responses/401").is_some());
    proxy.end().await;
}

#[tokio::test]
async fn the_pages_fetch_nothing() {
    let on = Schema::new(Release::NEWEST).await;
    let proxy = Proxy::with(serving(&on)).await;
    for path in ["/", "/docs"] {
        let page = get(proxy.address, path).await;
        assert_eq!(page.status, 200);
        assert_eq!(page.header("content-type"), Some("text/html; charset=UTF-8"));
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
        for outside in ["http://", "https://", "src=", "fetch(", "import(", "@import", "url("] {
            let own = outside == "src=" && page.body.contains("data-src=");
            assert!(!page.body.contains(outside) || own, "{path}: {outside}");
        }
    }
    // What the page shows is the description itself.
    let page = get(proxy.address, "/docs").await.body;
    let inlined = page.split("<script type=\"application/json\" id=\"document\">").nth(1);
    let inlined = inlined
        .and_then(|rest| rest.split("</script>").next())
        .expect("it is there");
    let shown: Value = serde_json::from_str(inlined).expect("JSON");
    assert_eq!(shown, get(proxy.address, "/openapi.json").await.json());
    proxy.end().await;

    let mut config = serving(&on);
    config.api.pages.root = false;
    config.api.pages.docs = false;
    config.api.pages.openapi = false;
    let proxy = Proxy::with(config).await;
    for path in ["/", "/docs", "/openapi.json"] {
        assert_eq!(get(proxy.address, path).await.status, 404, "{path}");
    }
    proxy.end().await;
}
