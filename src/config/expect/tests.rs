use super::*;
use proptest::prelude::*;

/// How an expression may begin.
const BEGINS: &str = "an expression begins with one of `status`, `header`, `body`, `json`, `time`, `cert_days`, `exit`, `rcode`, `aa`, `answer`, `serial`, `serial_age`";

/// 2026-11-21, noon.
const NOW: Wall = Wall::from_millis(1_795_262_400_000);

fn down() -> Seen<'static> {
    Seen {
        status: Some(503),
        body: b"<h1>Down for\n maintenance</h1>",
        time: Duration::from_millis(2310),
        cert_days: Some(9),
        ..Seen::default()
    }
}

fn instead(text: &str, seen: &Seen<'_>) -> Option<String> {
    Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).holds(seen).err()
}

#[test]
fn expressions_hold_or_tell_what_was_seen() {
    let body = Some("'<h1>Down for maintenance</h1>'");
    for (text, seen_instead) in [
        ("status in 200..299", Some("503")),
        ("status in 200..=503", None),
        ("status in 500 .. 599", None),
        ("status in [200, 204]", Some("503")),
        ("status in [200, 500..599,]", None),
        ("status == 503", None),
        ("status==200", Some("503")),
        ("status != 503", Some("503")),
        ("status != 200", None),
        ("body ~ 'maintenance'", None),
        ("body ~ 'Maintenance'", body),
        ("body ~ \"it's\"", body),
        ("body !~ 'maintenance'", body),
        ("body !~ 'ok'", None),
        (r"body ~~ '(?i)MAINT\w+'", None),
        ("body ~~ '^ok$'", body),
        ("body !~~ 'h[1-6]'", body),
        ("body !~~ 'ok'", None),
        ("time < 2s", Some("2.31 s")),
        ("time < 2310ms", Some("2.31 s")),
        ("time <= 2310ms", None),
        ("  time < 1m30s  ", None),
        ("time > 1.5s", None),
        ("time >= 3s", Some("2.31 s")),
        ("cert_days > 14", Some("9 days")),
        ("cert_days >= 9", None),
        ("cert_days < 9", Some("9 days")),
        ("cert_days <= 9", None),
    ] {
        assert_eq!(instead(text, &down()).as_deref(), seen_instead, "{text}");
    }
}

#[test]
fn what_was_not_seen_does_not_hold() {
    let nothing = Seen { time: Duration::from_millis(43), ..Seen::default() };
    assert_eq!(instead("status != 500", &nothing).as_deref(), Some("no status"));
    assert_eq!(instead("body ~ 'ok'", &nothing).as_deref(), Some("an empty body"));
    assert_eq!(instead("cert_days < 9", &nothing).as_deref(), Some("no certificate"));
    assert_eq!(instead("time > 1s", &nothing).as_deref(), Some("43 ms"));
}

#[test]
fn headers_are_asked_by_name_in_any_case_and_any_of_them_will_do() {
    let headers =
        [("x-ready", "1"), ("via", "a"), ("via", "b")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let seen = Seen { status: Some(200), headers: &headers, ..Seen::default() };
    for (text, seen_instead) in [
        ("header 'X-Ready' == '1'", None),
        ("header \"x-ready\" != '1'", Some("'1'")),
        ("header 'via' == 'b'", None),
        ("header 'via' ~~ '^[cd]$'", Some("'a', 'b'")),
        ("header 'via' !~ 'c'", None),
        ("header 'x-maintenance' == 'on'", Some("no such header")),
        ("header 'x-maintenance' != 'on'", None),
    ] {
        assert_eq!(instead(text, &seen).as_deref(), seen_instead, "{text}");
    }
    assert_eq!(instead("header 'x-maintenance' != 'on'", &Seen::default()).as_deref(), Some("no response"));
}

#[test]
fn json_is_asked_by_pointer() {
    let json = serde_json::json!({ "status": { "db": "up", "a/b": null }, "queue": 99.5, "list": [1, true], "big": "x".repeat(99) });
    let seen = Seen { body: b"{}", json: Some(&json), ..Seen::default() };
    let long = format!("\"{}…", "x".repeat(EXCERPT - 1));
    for (text, seen_instead) in [
        ("json '/status/db' == 'up'", None),
        ("json '/status/db' != 'up'", Some("\"up\"")),
        ("json '/status/db' ~~ '^(up|ok)$'", None),
        ("json '/status/a~1b' == null", None),
        ("json '/queue' < 100", None),
        ("json '/queue' >= 100", Some("99.5")),
        ("json '/list/0' == 1.0", None),
        ("json '/list/1' == true", None),
        ("json '/list/1' == false", Some("true")),
        ("json '/list' ~ '1'", None),
        ("json '/status/db' < 5", Some("\"up\"")),
        ("json '/gone' == 'x'", Some("nothing there")),
        ("json '/gone' != 'x'", None),
        ("json '/gone' > 1", Some("nothing there")),
        ("json '/big' == 'x'", Some(&long)),
    ] {
        assert_eq!(instead(text, &seen).as_deref(), seen_instead, "{text}");
    }
    let html = Seen { body: b"<html>", ..Seen::default() };
    assert_eq!(instead("json '/a' != 1", &html).as_deref(), Some("no JSON but '<html>'"));
}

#[test]
fn a_program_is_asked_for_its_exit_code_and_its_output() {
    let seen = Seen { exit: Some(2), body: b"disk full\n", ..Seen::default() };
    assert_eq!(instead("exit == 0", &seen).as_deref(), Some("exit 2, 'disk full'"));
    assert_eq!(instead("exit < 3", &seen), None);
    assert_eq!(instead("body ~ 'full'", &seen), None);
    assert_eq!(instead("exit != 0", &Seen::default()).as_deref(), Some("an end by a signal"));
}

#[test]
fn a_nameserver_is_asked_for_what_it_says() {
    let answer = ["192.0.2.1", "192.0.2.2"].map(str::to_owned).to_vec();
    let reply = Reply { rcode: Rcode::NOERROR, authoritative: false, answer, serial: Some(Serial(2_026_112_007)) };
    let seen = Seen { reply: Some(&reply), wall: NOW, ..Seen::default() };
    for (text, seen_instead) in [
        ("rcode == 'NOERROR'", None),
        ("rcode == 'nxdomain'", Some("NOERROR")),
        ("rcode != 'SERVFAIL'", None),
        ("aa == true", Some("false")),
        ("aa != true", None),
        ("answer == '192.0.2.2'", None),
        ("answer == '192.0.2'", Some("'192.0.2.1 192.0.2.2'")),
        ("answer ~ '192.0.2'", None),
        ("answer !~ '2.2'", Some("'192.0.2.1 192.0.2.2'")),
        ("answer != '192.0.2.9'", None),
        ("serial >= 2026112000", None),
        ("serial > 2026112100", Some("2026112007")),
        ("serial_age < 2d", None),
        ("serial_age < 1d", Some("2026112007, 36 h ago")),
    ] {
        assert_eq!(instead(text, &seen).as_deref(), seen_instead, "{text}");
    }
    assert_eq!(instead("aa == false", &Seen::default()).as_deref(), Some("no reply"));
    let none = Reply { answer: Vec::new(), serial: None, ..reply };
    let seen = Seen { reply: Some(&none), ..seen };
    assert_eq!(instead("answer ~ '1'", &seen).as_deref(), Some("no record"));
    assert_eq!(instead("serial != 1", &seen).as_deref(), Some("no SOA record"));
}

#[test]
fn serials_are_compared_as_rfc_1982_has_it_and_dated_as_people_number_them() {
    let held = |text: &str, serial: u32| {
        let reply =
            Reply { rcode: Rcode::NOERROR, authoritative: true, answer: Vec::new(), serial: Some(Serial(serial)) };
        Expression::parse(text).unwrap().holds(&Seen { reply: Some(&reply), wall: NOW, ..Seen::default() }).is_ok()
    };
    assert!(held("serial > 4294967295", 5), "past the end of the line");
    assert!(!held("serial < 4294967295", 5));
    assert!(!held("serial > 0", 0x8000_0000) && !held("serial < 0", 0x8000_0000), "neither is greater");
    for (serial, hours) in [
        (2_026_112_100, Some(12)),
        (2_026_112_199, Some(12)),
        (2_026_112_200, Some(0)),
        (2_026_112_300, None),
        (1_795_262_400, Some(0)),
        (1_795_258_800, Some(1)),
        (2_020_022_900, Some(58_980)),
        (2_025_023_000, None),
        (1, None),
        (20_261_121, None),
    ] {
        let age = age(Serial(serial), NOW).map(|age| age.as_secs() / 3600);
        assert_eq!(age, hours, "{serial}");
    }
}

#[test]
fn long_and_binary_bodies_are_shown_short() {
    let seen = |body| Seen { body, ..down() };
    let long = vec![b'a'; 70_000];
    assert_eq!(instead("body ~ 'ok'", &seen(&long)), Some(format!("'{}…'", "a".repeat(EXCERPT))));
    assert_eq!(instead("body ~ 'ok'", &seen(b"\x00\xff\x1b[31m")).as_deref(), Some("'\u{fffd}[31m'"));
}

#[test]
fn errors_point_at_the_fault_and_tell_what_would_be_right() {
    for (text, at, what, help) in [
        ("", "", "an empty expression", "write one like `status in 200..299`"),
        ("= 200", "= 200", "an expression does not begin like this", BEGINS),
        ("stauts == 200", "stauts", "unknown subject `stauts`", "did you mean `status`?"),
        ("Status == 200", "Status", "unknown subject `Status`", "did you mean `status`?"),
        ("latency < 2s", "latency", "unknown subject `latency`", "did you mean `time`?"),
        ("cert-days > 4", "cert-days", "unknown subject `cert-days`", "did you mean `cert_days`?"),
        ("frobnicate > 4", "frobnicate", "unknown subject `frobnicate`", BEGINS),
        ("status", "", "an operator is missing", "write one of `in`, `==`, `!=`, like `status in 200..299`"),
        ("status = 200", "=", "`=` cannot be asked here", "did you mean `==`?"),
        ("status ==", "", "a value is missing", "write it like `status in 200..299`"),
        ("status in 2xx", "2xx", "neither a range nor a list of statuses", "write `200..299`"),
        ("status in 200-299", "200-299", "neither a range nor a list of statuses", "write `200..299`"),
        ("status in 200, 204", "200, 204", "neither a range nor a list of statuses", "write `[200, 204]`"),
        ("status in 200", "200", "neither a range nor a list of statuses", "write `== 200`"),
        ("status in 299..200", "299..200", "no status is in this range", "did you mean `200..299`?"),
        ("status in [200, 2o4]", "2o4", "`2o4` is no HTTP status", "a status is a number like `200`"),
        ("status in [200", "[200", "the list is not closed", "write it like `status in [200, 204]`"),
        ("status in []", "", "`` is no HTTP status", "a status is a number like `200`"),
        ("status == 20", "20", "no HTTP status", "a status is between 100 and 599"),
        (
            "status == 200 and body ~ 'ok'",
            "200 and body ~ 'ok'",
            "`200 and body ~ 'ok'` is no HTTP status",
            "a status is a number like `200`",
        ),
        ("body ~ ok", "ok", "a text stands in quotes", "write `'ok'`"),
        ("body ~ 'ok", "'ok", "the quote is not closed", "end the text with '"),
        (
            "body ~ 'ok' and more",
            "and more",
            "nothing may follow the text",
            "give each expression as its own item of the list",
        ),
        ("body ~ ''", "''", "the text is empty, and every body has that", "give the text to look for"),
        ("body contains 'ok'", "contains", "`contains` cannot be asked here", "did you mean `~`?"),
        (
            "body ~~ '(a'",
            "(a",
            "not a regular expression: unclosed group",
            "to look for plain text, write `~` instead of `~~`",
        ),
        (r"body ~~ '(\w{100}){100}'", r"(\w{100}){100}", "the pattern is too large", "shorten its repetitions"),
        ("time < 2", "2", "a duration needs a unit", "write `2s` or `2ms`"),
        ("time < soon", "soon", "`soon` is no duration", "write it like `500ms`, `2s` or `1m30s`"),
        ("time < -2s", "-2s", "`-2s` is no duration", "write it like `500ms`, `2s` or `1m30s`"),
        ("time < 0s", "0s", "a limit of nothing", "write a duration like `2s`"),
        ("time == 2s", "==", "`==` cannot be asked here", "write one of `<`, `<=`, `>`, `>=`, like `time < 2s`"),
        ("cert_days > 14d", "14d", "the number of days has no unit", "write `14`"),
        (
            "header 'x-ready'",
            "",
            "an operator is missing",
            "write one of `==`, `!=`, `~`, `~~`, `!~`, `!~~`, like `header 'x-ready' == '1'`",
        ),
        (
            "header x-ready == '1'",
            "x-ready",
            "`header` needs the name of a header, in quotes",
            "write it like `header 'x-ready' == '1'`",
        ),
        ("header 'x ready' == '1'", "x ready", "`x ready` is no header name", "letters, digits and `-`"),
        ("json '$.db.up' == true", "$.db.up", "a JSON pointer begins with `/`", "write `'/db/up'`"),
        ("json '/n' < 'a'", "'a'", "only numbers have an order", "write the number without quotes"),
        (
            "json '/n' == up",
            "up",
            "`up` is no value",
            "write a text in quotes, like `'up'`, a number, `true`, `false` or `null`",
        ),
        ("json '/n' > true", "true", "`true` is no number", "only numbers have an order"),
        ("json '/n", "'/n", "the quote is not closed", "end the text with '"),
        ("exit == 300", "300", "`300` is no exit code", "they are numbers from 0 to 255"),
        ("rcode == NXDOMAIN", "NXDOMAIN", "a text stands in quotes", "write `'NXDOMAIN'`"),
        (
            "rcode == 'OK'",
            "OK",
            "`OK` is no response code",
            "they are `NOERROR`, `NXDOMAIN`, `SERVFAIL`, `REFUSED` and others of their kind",
        ),
        ("aa == yes", "yes", "`yes` is neither true nor false", "write `aa == true`"),
        ("authoritative == true", "authoritative", "unknown subject `authoritative`", "did you mean `aa`?"),
        ("serial > 5000000000", "5000000000", "`5000000000` is no serial", "they are numbers up to 4294967295"),
        ("serial_age < 5", "5", "a duration needs a unit", "write `5s` or `5ms`"),
        ("answer = '192.0.2.1'", "=", "`=` cannot be asked here", "did you mean `==`?"),
        ("body == 'ok'", "==", "`==` cannot be asked here", "did you mean `~`?"),
        ("cert_days > soon", "soon", "`soon` is no number of days", "write it like `cert_days > 14`"),
    ] {
        let error = Expression::parse(text).expect_err(text);
        assert_eq!((&text[error.at.clone()], error.what.as_str()), (at, what), "{text}");
        assert_eq!(error.help.as_deref(), Some(help), "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_at_a_place_inside_it(text in "(status|body|time|cert_days|header 'a'|json '/a'|exit|rcode|aa|answer|serial|serial_age|\\PC{0,4})? ?(in|[=!<>~]{0,3}) ?\\PC{0,20}") {
        match Expression::parse(&text) {
            Ok(expression) => prop_assert_eq!(expression.text, text.trim()),
            Err(error) => prop_assert!(text.get(error.at).is_some()),
        }
    }
}
