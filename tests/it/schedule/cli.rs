//! `strawboss schedules` as a user meets it.

use serde_json::{Value, json};

use crate::cli::{run, run_on};
use crate::support::{Release, Schema};

fn preview(arguments: &[&str]) -> Value {
    run(&[&["schedules", "preview"], arguments, &["--json"]].concat())
        .well()
        .json()
}

#[test]
fn a_preview_lists_what_fires() {
    let new_york = ["--tz", "America/New_York", "--from"];
    let of = |expression: &str, from: &str, count: &str| {
        preview(&[&[expression], &new_york[..], &[from, "--count", count]].concat())
    };
    // The night in which 02:30 is skipped, and the one in which 01:30 comes twice.
    assert_eq!(
        of("30 2 * * *", "2025-03-08T00:00:00Z", "2"),
        json!(["2025-03-08T07:30:00Z", "2025-03-10T06:30:00Z"])
    );
    assert_eq!(
        of("30 1 * * *", "2025-11-02T00:00:00-04:00", "3"),
        json!(["2025-11-02T05:30:00Z", "2025-11-02T06:30:00Z", "2025-11-03T06:30:00Z"])
    );
    // After the instant, whatever its fraction.
    assert_eq!(
        of("* * * * *", "2025-01-01T00:00:00Z", "1"),
        json!(["2025-01-01T00:01:00Z"])
    );
    assert_eq!(
        of("* * * * *", "2024-12-31T23:59:59.999Z", "1"),
        json!(["2025-01-01T00:00:00Z"])
    );
    assert_eq!(
        of("* * * * * *", "2025-01-01T00:00:00.25Z", "2"),
        json!(["2025-01-01T00:00:01Z", "2025-01-01T00:00:02Z"])
    );
    assert_eq!(of("30 2 * 3 0#2", "2025-01-01T00:00:00Z", "2"), json!([]));
    assert_eq!(
        preview(&[
            "FREQ=WEEKLY;BYDAY=MO",
            "--tz",
            "Europe/Berlin",
            "--from",
            "2025-01-01T00:00:00Z",
            "--count",
            "1"
        ]),
        json!(["2025-01-05T23:00:00Z"])
    );
    // The same `H` of the same schedule each time.
    let hashed = |key: &str| {
        preview(&[
            "H H * * *",
            "--from",
            "2025-01-01T00:00:00Z",
            "--count",
            "1",
            "--queue",
            "q",
            "--key",
            key,
        ])
    };
    assert_eq!(hashed("a"), hashed("a"));
}

#[test]
fn an_explanation_marks_the_days_on_which_the_clocks_change() {
    let arguments = [
        "30 1,2 * * *",
        "--tz",
        "Europe/Berlin",
        "--count",
        "3",
        "--explain",
        "--from",
    ];
    let marked = preview(&[&arguments[..], &["2025-03-29T12:00:00Z"]].concat());
    assert_eq!(
        marked[0],
        json!({ "at": "2025-03-30T00:30:00Z", "local": "2025-03-30T01:30:00+01", "note": null })
    );
    assert_eq!(
        marked[1],
        json!({ "at": null, "local": ["2025-03-30T02:30:00"], "note": "dropped" })
    );
    let marked = preview(&[&arguments[..], &["2025-10-26T00:00:00Z"]].concat());
    let notes: Vec<_> = (0..3).map(|n| marked[n]["note"].as_str()).collect();
    assert_eq!(notes, [None, Some("doubled"), None]);
    let shown = run(&[&["schedules", "preview"], &arguments[..], &["2025-03-29T12:00:00Z"]].concat()).well();
    assert!(
        shown
            .out
            .contains("2025-03-30: the clocks skip 02:30:00, so nothing fires then"),
        "{}",
        shown.out
    );
    // A rule leaves out what does not exist, and of what comes twice means the first.
    let rule = [
        "FREQ=DAILY;BYHOUR=1,2;BYMINUTE=30",
        "--tz",
        "Europe/Berlin",
        "--count",
        "3",
        "--explain",
        "--from",
    ];
    let marked = preview(&[&rule[..], &["2025-03-29T12:00:00Z"]].concat());
    assert_eq!(
        marked[1],
        json!({ "at": null, "local": ["2025-03-30T02:30:00"], "note": "dropped" })
    );
    let marked = preview(&[&rule[..], &["2025-10-26T00:00:00Z"]].concat());
    let fires: Vec<_> = (0..3)
        .map(|n| (marked[n]["local"].as_str(), &marked[n]["note"]))
        .collect();
    assert_eq!(
        fires,
        [
            (Some("2025-10-26T02:30:00+02"), &Value::Null),
            (Some("2025-10-27T01:30:00+01"), &Value::Null),
            (Some("2025-10-27T02:30:00+01"), &Value::Null),
        ]
    );
    // What recurs in every hour keeps its pace, whatever the clocks show.
    let hourly = [
        "0 * * * *",
        "--tz",
        "Europe/Berlin",
        "--explain",
        "--from",
        "2025-03-29T23:00:00Z",
    ];
    let marked = preview(&hourly);
    assert!(
        marked
            .as_array()
            .expect("a list")
            .iter()
            .all(|mark| !mark["at"].is_null()),
        "{marked}"
    );
}

#[test]
fn what_means_nothing_is_wrong_usage() {
    for arguments in [
        &["61 * * * *"][..],
        &["* * * * * * *"],
        &[""],
        &["FREQ=SOMETIMES"],
        &["* * * * *", "--tz", "America/New_Yrok"],
        &["* * * * *", "--from", "yesterday"],
        &["* * * * *", "--count", "0"],
        &["1,1 * * * *"],
    ] {
        let ended = run(&[&["schedules", "preview"], arguments].concat());
        assert_eq!(ended.code, 2, "{arguments:?}: {}{}", ended.out, ended.err);
        assert_eq!(ended.out, "", "{arguments:?}");
        assert!(ended.err.starts_with("error: "), "{}", ended.err);
    }
    let macros = run(&["schedules", "preview", "@midnight"]).err;
    assert!(
        macros.contains("there is no @midnight; there are @yearly, "),
        "{macros}"
    );
    // What version 4 takes is known, too.
    run(&["schedules", "preview", "1,1 * * * *", "--cron-parser", "4"]).well();
    let nowhere = run(&["schedules", "preview", "* * * * *", "--zoneinfo", "/nowhere"]);
    assert_eq!(nowhere.code, 1, "{}", nowhere.err);
}

#[tokio::test]
async fn schedules_are_set_listed_and_removed() {
    let schema = Schema::new(Release::NEWEST).await;
    schema.queue("report", json!({})).await;
    let on = |arguments: &[&str]| run_on(&schema, &[&["schedules"], arguments].concat());
    assert_eq!(on(&[]).well().out, "no schedules\n");
    on(&[
        "set",
        "report",
        "0 9 * * 1-5",
        "--tz",
        "Europe/Berlin",
        "--data",
        r#"{"big": 12345678901234567890}"#,
    ])
    .well();
    on(&[
        "set",
        "report",
        "@daily",
        "--key",
        "daily",
        "--options",
        r#"{"priority": 5}"#,
        "--missed",
        "once",
    ])
    .well();
    let listed = on(&["list", "--json"]).well().json();
    assert_eq!(listed.as_array().expect("a list").len(), 2);
    assert_eq!(listed[0]["cron"], "0 9 * * 1-5");
    assert_eq!(listed[0]["timezone"], "Europe/Berlin");
    assert!(listed[0]["next"].is_string() && listed[0]["lastJobId"].is_null());
    assert_eq!(
        listed[1]["options"],
        json!({ "key": "daily", "missed": "once", "priority": 5 })
    );
    let data = "select data::text from {schema}.schedule where key = ''";
    assert_eq!(schema.value(data).await, json!(r#"{"big": 12345678901234567890}"#));
    let table = on(&["list", "report"]).well().out;
    assert!(
        table.starts_with("QUEUE") && table.contains("@daily") && table.contains("once"),
        "{table}"
    );
    for (arguments, code, said) in [
        (
            &["set", "nowhere", "* * * * *"][..],
            1,
            "strawboss queues create nowhere",
        ),
        (&["set", "report", "61 * * * *"], 2, "is no cron expression"),
        (
            &["set", "report", "* * * * *", "--options", r#"{"priority": "high"}"#],
            2,
            "priority must be",
        ),
        (&["set", "report", "* * * * *", "--options", "[]"], 2, "no JSON object"),
        (&["remove", "report", "--key", "none"], 1, "has no schedule"),
    ] {
        let ended = on(arguments);
        assert_eq!(ended.code, code, "{arguments:?}: {}", ended.err);
        assert!(ended.err.contains(said), "{arguments:?}: {}", ended.err);
    }
    on(&["remove", "report"]).well();
    on(&["remove", "report", "--key", "daily"]).well();
    assert_eq!(on(&["list", "--json"]).well().json(), json!([]));
    let config = format!(
        "[database]\nurl = \"{}\"\nschema = \"{}\"\nown_schema = \"{}\"\n",
        schema.url,
        schema.name,
        schema.own()
    );
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), config).expect("written");
    let path = file.path().to_str().expect("UTF-8");
    let configured = |arguments: &[&str]| run(&[&["schedules"], arguments, &["--config", path]].concat());
    configured(&["set", "report", "* * * * *", "--catch-up", "3"]).well();
    assert_eq!(configured(&["list", "--json"]).well().json()[0]["catchUp"], 3);
    assert_eq!(configured(&["history", "--json"]).well().json(), json!([]));
    configured(&["remove", "report"]).well();
    let kept = format!("select count(*) from {}.schedule_catch_up", schema.own());
    assert_eq!(schema.value(&kept).await, json!(0));
}
