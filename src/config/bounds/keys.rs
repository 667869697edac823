//! Every key, in the order of the manual; and the words other tools have for them.

use std::time::Duration;

use super::Preset::{self, Nothing, Required, Value, Words};
use super::{CONTRACT, Kind, Row, Section};

const fn row(key: &'static str, kind: Kind, default: Preset, meaning: &'static str, reason: &'static str) -> Row {
    Row { key, kind, default, meaning, reason }
}

const fn later(key: &'static str, meaning: &'static str) -> Row {
    row(key, Kind::Reserved, Nothing, meaning, "")
}

const fn span(min_millis: u64, max_millis: u64) -> Kind {
    Kind::Duration { min: Duration::from_millis(min_millis), max: Duration::from_millis(max_millis) }
}

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

const EVERY: Row = row(
    "every",
    span(100, HOUR),
    Value("5s"),
    "Time between two scheduled probes of a watch.",
    "Faster is a load test of the origin; slower is no failover.",
);
const STANDBY_EVERY: Row = row(
    "standby_every",
    span(100, HOUR),
    Words("`every`"),
    "The same for a watch that no name waits for: the rungs after the one served. It is `every` again as soon as its rung is served, and is asked at once when what is served turns suspect.",
    "A standby that nobody has looked at for an hour is a guess.",
);
const TIMEOUT: Row = row(
    "timeout",
    span(50, MINUTE),
    Value("2s"),
    "A probe not finished by then has failed. At most `every`; where it is not set and `every` is shorter than its default, it is `every`.",
    "An origin that takes a minute is of no use to anyone.",
);
const FALL: Row = row(
    "fall",
    Kind::Integer { min: 1, max: 20 },
    Value("3"),
    "Consecutive failures until an origin is down.",
    "Confirmations race each other; 20 of them are an attack.",
);
const RISE: Row = row(
    "rise",
    Kind::Integer { min: 1, max: 100 },
    Value("3"),
    "Consecutive passes until an origin is up again. Where a check sets only `fall`, `rise` follows it if that is larger.",
    "One pass may do for a good network; more than 100 is a manual failback.",
);
const CONFIRM: Row = row(
    "confirm",
    span(10, MINUTE),
    Value("500ms"),
    "Distance of the confirmations that follow a first failure, without waiting for each other. At most `every`; where it is not set and `every` is shorter than its default, it is `every`.",
    "Closer together they see the same moment.",
);
const BLIP: Row = row(
    "blip",
    span(0, MINUTE),
    Value("1s"),
    "Failures must span at least this long to count: a restart is not an outage.",
    "A minute of outage is no blip.",
);
const TRIPWIRE: Row = row(
    "tripwire",
    Kind::Boolean,
    Value("true"),
    "Hold an idle connection to each address that works, over which nothing is sent. Its end has the watch asked at once, so a crash is found without waiting for the next probe. It never counts by itself. Means nothing where no connection is made.",
    "",
);
const WINDOW: Row = row(
    "window",
    Kind::Other("`\"6 of 10\"`, or false"),
    Nothing,
    "Down, besides `fall` failures in a row, when so many of so many scheduled probes failed; up again with `rise` passes in a row once fewer of them did. Such losses are found after `of × every` and what confirms them.",
    "It looks back on 2 to 100 probes: fewer are a streak, more are history.",
);
const DEGRADED: Row = row(
    "degraded",
    Kind::List { of: "rules", max: 8 },
    Value("[]"),
    "What works, and not well: `p90 time > 800ms over 20`, `errors > 10% over 50`, of scheduled probes. It ends where `until < 500ms` or `until < 2%` says, else when the rule has not held for as many probes as it looks back on. It is shown, and moves nothing unless the name says `leave_degraded`.",
    "Each is weighed for every probe.",
);
const LEAVE_DEGRADED: Row = row(
    "leave_degraded",
    Kind::Boolean,
    Value("false"),
    "A rung that is degraded is left for the first one that is up and not degraded, and failback waits until it is no more.",
    "",
);
const TTL: Row = row(
    "ttl",
    span(5 * SECOND, DAY),
    Value("30s"),
    "TTL of every record of the name, in whole seconds: how long resolvers keep the old answer after a turn.",
    "Many resolvers keep records for 5 s whatever they say, and TTL 0 asks us once per visitor; a day is slow to undo.",
);
const FAILBACK: Row = row(
    "failback",
    Kind::Other("`\"auto\"`, `\"manual\"` or a duration from 1s to 7d"),
    Value("\"5m\""),
    "What leaving a rung that still works for a better one waits for: nothing but `rise`, a person, or the better rung being up this long.",
    "A hold-down of over a week is forgotten: use `\"manual\"`.",
);
const STRICT: Row = row(
    "strict",
    Kind::Boolean,
    Value("false"),
    "A rung that passes its check but would fail its visitors counts as dead while any other lives. Without it such a rung is not moved to while another would do, but one that is served already is not left for it.",
    "",
);
const STEER_CHECK: Row = row(
    "check",
    CHECKS,
    Nothing,
    "How the origins of all rungs are asked, where neither the rung nor the origin has its own check.",
    "",
);
/// Most checks that speak together.
const CHECKS_MAX: u64 = 8;
const CHECK_NAMES: Kind = Kind::List { of: "checks", max: CHECKS_MAX as usize };
const CHECKS: Kind = Kind::Other("the name of a check, or a table of several");
const PRIMARY: Kind =
    Kind::Other("a rung: an origin's name, `{ origin = … }` or `{ all = […] }`, each with an optional `check`");
const EMERGENCY: Row = row(
    "emergency",
    PRIMARY,
    Nothing,
    "The last resort: served when all other rungs are dead, even without a passing check. `check = false` leaves it unwatched.",
    "",
);
const BACKUP: Row = row(
    "backup",
    Kind::Other("a rung, or a list of up to 16 rungs in their order"),
    Nothing,
    "Served while all rungs before it are dead.",
    "A visitor never gets as far as the sixteenth.",
);

/// Every table and key, in the order of the manual.
pub(super) const SECTIONS: &[Section] = &[
    Section {
        path: "",
        header: "The top of the file",
        meaning: "Before the first table. These two keys are not allowed in included files.",
        rows: &[
            row(
                "contract",
                Kind::Integer { min: 1, max: CONTRACT },
                Value("1"),
                "The version of this contract the file was written for.",
                "A newer number than the binary knows is refused: it may mean something else.",
            ),
            row(
                "include",
                Kind::List { of: "paths", max: 100 },
                Value("[]"),
                "More files, with `*` and `?` as in a shell, relative to this file. Their tables are merged; a table defined twice is an error.",
                "At most 1,000 files in all.",
            ),
            row("server", Kind::Table, Nothing, "This node.", ""),
            row("admin", Kind::Table, Nothing, "The API and who may use it.", ""),
            row("alert", Kind::Table, Nothing, "Who is told of turns.", ""),
            row("velocity", Kind::Table, Nothing, "How many names automation may move at once.", ""),
            row("heartbeat", Kind::Table, Nothing, "Where origins call us.", ""),
            row("cli", Kind::Table, Nothing, "Settings of the command line.", ""),
            row("zone", Kind::Table, Nothing, "The zones.", ""),
            row("defaults", Kind::Table, Nothing, "Defaults of checks and steered names.", ""),
            row("check", Kind::Table, Nothing, "How origins are asked.", ""),
            row("origin", Kind::Table, Nothing, "Where services live.", ""),
            row("ladder", Kind::Table, Nothing, "Orders of preference.", ""),
            row("steer", Kind::Table, Nothing, "The steered names.", ""),
            later("key", "Keys of transfers and updates."),
        ],
    },
    Section {
        path: "server",
        header: "[server]",
        meaning: "This node.",
        rows: &[
            row(
                "name",
                Kind::Text { max: 63 },
                Words("the host name"),
                "Names this node in the journal, in alerts and in metrics.",
                "It is in every journal entry.",
            ),
            row(
                "listen",
                Kind::List { of: "addresses", max: 64 },
                Value("[\"0.0.0.0:53\", \"[::]:53\"]"),
                "Where questions arrive: `address:port` is UDP and TCP; `udp://address:port` and `tcp://address:port` are one of them; `tls://address:853`, `https://address:443` and `quic://address:853` are encrypted and need `[server.tls]`, their port may be left out. Explicit addresses are a little faster than `0.0.0.0`.",
                "Each has sockets and threads of its own.",
            ),
            row(
                "workers",
                Kind::Integer { min: 1, max: 256 },
                Words("one per core"),
                "UDP threads per listen address.",
                "More threads than cores slow each other down.",
            ),
            row(
                "state",
                Kind::Path,
                Value("\"/var/lib/failoverd\""),
                "Folder of the journal, serials, orders and the admin token.",
                "",
            ),
            row(
                "state_max_age",
                span(MINUTE, 7 * DAY),
                Value("1h"),
                "At start, a remembered decision older than this is not served before the first probes.",
                "What was true a week ago says nothing about now.",
            ),
            row(
                "resolvers",
                Kind::Other("`\"system\"`, or a list of up to 8 addresses (port 53 if none is given)"),
                Value("\"system\""),
                "Who resolves the host names of origins; never this server itself.",
                "The first that answers is enough.",
            ),
            row(
                "watch",
                Kind::Boolean,
                Value("false"),
                "Reload by itself when a file has changed and has been quiet for 2 s.",
                "",
            ),
            row(
                "doubt_share",
                Kind::Number { min: 0.1, max: 1.0 },
                Value("0.5"),
                "With 10 origins and more: when over this share of them turns down within one window and no canary passes, our own sight is in doubt and nothing moves.",
                "Below a tenth one bad origin would freeze the others.",
            ),
            row(
                "record",
                Kind::Boolean,
                Value("false"),
                "Keep every observation and whatever else decisions are made from in `record/` of the state folder, for `failoverd replay`. A reload begins and ends it.",
                "",
            ),
            row(
                "record_keep",
                Kind::Other("a size from 2MB to 1000GB, like `\"256MB\"`"),
                Value("\"256MB\""),
                "How much of it is kept; the oldest goes first. A watch asked every 5 s takes a third of a megabyte a day, and that time passes 2 MB.",
                "Less is not worth it, and more than a terabyte nobody decides again.",
            ),
            row(
                "nsid",
                Kind::Boolean,
                Value("true"),
                "Tell `name` to clients that ask for it with the NSID option (RFC 5001).",
                "",
            ),
            row(
                "identity",
                Kind::Boolean,
                Value("false"),
                "Answer `id.server`, `hostname.bind`, `version.server` and `version.bind` in class CH (RFC 4892); else they are refused.",
                "",
            ),
            row(
                "explain_to",
                Kind::List { of: "prefixes", max: 100 },
                Value("[]"),
                "Clients whose replies on steered names say what is served, since when and why, as the text of an Extended DNS Error (RFC 8914), which `dig` shows. A resolver may pass it on: name networks of your own.",
                "Each is compared with every client that asks for a steered name.",
            ),
            row("cookies", Kind::Table, Nothing, "Proof that a client's address is its own; see the next table.", ""),
            row("rate_limit", Kind::Table, Nothing, "Limits how many responses a prefix of clients gets over UDP.", ""),
            row("tcp", Kind::Table, Nothing, "Connections; see the next table.", ""),
            row("tls", Kind::Table, Nothing, "The certificate of encrypted addresses; see the next table.", ""),
            row(
                "exec",
                Kind::Boolean,
                Value("false"),
                "Checks may run programs of this machine, as the user of failoverd.",
                "",
            ),
        ],
    },
    Section {
        path: "server.cookies",
        header: "[server.cookies]",
        meaning: "DNS cookies (RFC 7873, RFC 9018). Who shows one that this node, or one with the same secret, has sent to its address, is not taken for a forged address.",
        rows: &[
            row("enabled", Kind::Boolean, Value("true"), "Answer cookies.", ""),
            row(
                "secret_file",
                Kind::Path,
                Words("a random secret, kept until the process ends"),
                "File of 1 to 3 secrets of 32 hexadecimal digits, each on a line of its own; relative to this file. The first makes cookies, all are accepted. Nodes behind one address need the same file; BIND, Knot and NSD take the same secrets. To change the secret, on all nodes put the new one behind the old one, then before it, then remove the old one an hour later.",
                "",
            ),
        ],
    },
    Section {
        path: "server.rate_limit",
        header: "[server.rate_limit]",
        meaning: "Response rate limiting: a flood of queries with forged addresses must not become a flood of responses to their owners. Off without this table; an empty one turns it on. Responses of one kind to one prefix are counted together: answers by name (those of a wildcard, DNAME or delegation by its owner), \"no such name\" and \"no such record\" by zone, errors alone. TCP, encrypted transports and clients with a valid cookie are not limited: their address is not forged. Each UDP worker of a listen address grants its share of the rate for itself, and after a pause a whole second's worth at once.",
        rows: &[
            row(
                "responses_per_second",
                Kind::Integer { min: 1, max: 100_000 },
                Value("200"),
                "Responses of one kind to one prefix, over UDP, by one listen address.",
                "With 0 nobody would be answered, and more than 100,000 limits nobody; a low one throttles public resolvers, which ask often where TTLs are short.",
            ),
            row(
                "slip",
                Kind::Integer { min: 0, max: 10 },
                Value("2"),
                "Every so many-th response over the limit is sent all the same, truncated and without records: a real client asks again over TCP. `1` is every one of them, `0` none.",
                "The fewer slip, the longer a real client waits.",
            ),
            row(
                "ipv4_prefix",
                Kind::Integer { min: 8, max: 32 },
                Value("24"),
                "Clients are the same if so many bits of their IPv4 address are.",
                "Fewer bits would limit whole countries.",
            ),
            row(
                "ipv6_prefix",
                Kind::Integer { min: 16, max: 128 },
                Value("56"),
                "Clients are the same if so many bits of their IPv6 address are.",
                "Fewer bits would limit whole providers.",
            ),
            row(
                "exempt",
                Kind::List { of: "prefixes", max: 100 },
                Value("[]"),
                "Clients that are not limited: `address/bits`, or an address alone.",
                "Each is compared with each query.",
            ),
        ],
    },
    Section {
        path: "server.tcp",
        header: "[server.tcp]",
        meaning: "Connections of clients, over TCP and what runs on it. When there are too many, the one that has been without a query for longest makes room: new ones are never turned away. They share the file descriptors of the process, whose soft limit is raised to the hard one; if that is too low for `connections`, fewer are held and the log says so.",
        rows: &[
            row(
                "connections",
                Kind::Integer { min: 256, max: 1_000_000 },
                Value("4000"),
                "Open at once, on all listen addresses together. Each worker has an equal share.",
                "One for each of the most workers there may be; beyond a million, the ports of clients are the limit.",
            ),
            row(
                "per_client",
                Kind::Integer { min: 1, max: 1_000_000 },
                Value("1000"),
                "Of one client, which is an IPv4 address or an IPv6 /56; with one more, it loses its own that has been without a query for longest. Large resolvers have hundreds behind one address.",
                "At most `connections`; none is no service.",
            ),
            row(
                "idle",
                span(SECOND, HOUR),
                Value("10s"),
                "A connection is closed that has been without a query for this long (RFC 7766 §6.2.3); clients that ask are told (RFC 7828).",
                "Less cuts off clients that are about to ask again; more than an hour cannot be told them.",
            ),
            row(
                "receive",
                span(100, MINUTE),
                Value("5s"),
                "A query must be whole this long after its first byte.",
                "A lost packet takes a second to come again; who needs a minute for 100 bytes is no resolver.",
            ),
            row(
                "send",
                span(100, MINUTE),
                Value("5s"),
                "Answers must be taken this long after they were ready.",
                "A lost packet takes a second to come again; up to 72 KiB are held for a connection that long.",
            ),
        ],
    },
    Section {
        path: "server.tls",
        header: "[server.tls]",
        meaning: "What `tls://`, `https://` and `quic://` addresses show. Their connections obey `[server.tcp]`, each transport by itself. The files are looked at once a minute and at every reload: a renewed certificate is taken into use by itself, a bad one never replaces a good one.",
        rows: &[
            row(
                "certificate",
                Kind::Path,
                Required,
                "PEM file: the certificate of this server first, then those that lead to a root (certbot's `fullchain.pem`).",
                "",
            ),
            row("key", Kind::Path, Required, "PEM file: the private key of the first certificate.", ""),
            row(
                "https_path",
                Kind::Text { max: 255 },
                Value("\"/dns-query\""),
                "The path of DNS over HTTPS.",
                "Clients write it by hand.",
            ),
        ],
    },
    Section {
        path: "admin",
        header: "[admin]",
        meaning: "The HTTP API that the command line talks to, and what monitoring reads.",
        rows: &[
            row(
                "listen",
                Kind::Address,
                Value("\"127.0.0.1:8053\""),
                "The API, with a token. It speaks plain HTTP: an address other than loopback belongs on a private network.",
                "",
            ),
            row(
                "ops_listen",
                Kind::Address,
                Value("\"127.0.0.1:9153\""),
                "`/metrics`, `/livez` and `/readyz`: read-only, without a token.",
                "",
            ),
            row("token", Kind::Table, Nothing, "Tokens by the name of who uses them.", ""),
        ],
    },
    Section {
        path: "admin.token",
        header: "[admin.token.NAME]",
        meaning: "Who may give orders besides the token made at first start. NAME is the actor of the orders, as the journal shows it.",
        rows: &[row(
            "secret_file",
            Kind::Path,
            Required,
            "File that holds the token, alone, of 16 characters and more; relative to this file.",
            "",
        )],
    },
    Section {
        path: "alert",
        header: "[alert.NAME]",
        meaning: "Who is told of turns.",
        rows: &[
            row(
                "webhook",
                Kind::Text { max: 2048 },
                Required,
                "URL that gets one signed POST per turn (Standard Webhooks).",
                "Longer URLs are refused by common servers.",
            ),
            row(
                "secret",
                Kind::Text { max: 256 },
                Words("the secret made at first start"),
                "Signing secret: `whsec_` and the base64 of 24 to 64 bytes. Better as `\"${ENV}\"`.",
                "64 bytes of base64 take 95; shorter secrets than 24 bytes can be guessed.",
            ),
            row("secret_file", Kind::Path, Nothing, "File that holds the signing secret, instead of `secret`.", ""),
        ],
    },
    Section {
        path: "velocity",
        header: "[velocity]",
        meaning: "How many names automation may move to another rung within one window; the others wait, and are shown. Without this table nothing is limited. Orders, and what a person approves, are never limited: see [velocity.md](velocity.md).",
        rows: &[
            row(
                "names",
                Kind::Other("a number from 1 to 10000, or a share of the steered names like `\"10%\"`"),
                Required,
                "Automation moves at most so many names in any window. A share is rounded down, to one name at least.",
                "With 0 nothing would ever move by itself; 10,000 is all names there can be.",
            ),
            row(
                "per",
                span(SECOND, DAY),
                Value("1m"),
                "Length of the window, which slides.",
                "Shorter limits nothing that people would notice; a limit longer than a day is a person's work.",
            ),
            row(
                "beyond",
                Kind::Other("`\"confirm\"` or `\"person\"`"),
                Value("\"confirm\""),
                "What those wait for that find no room: longer confirmation and room in a later window, or a person (`failoverd approve`). With `confirm` a person may approve too.",
                "",
            ),
            row(
                "longer",
                span(SECOND, DAY),
                Value("30s"),
                "`beyond = \"confirm\"`: how long a name must have wanted the same move before it may take room of a later window.",
                "Less than a second confirms nothing; who waits for a day waits for a person.",
            ),
        ],
    },
    Section {
        path: "heartbeat",
        header: "[heartbeat]",
        meaning: "Where origins of `heartbeat` checks call us; needed if there is one. `POST` or `GET` of `/heartbeat/ORIGIN/CHECK` with `Authorization: Bearer SECRET`, or of `/beat/SECRET/ORIGIN`; with `?status=fail` the origin reports its own failure. It speaks plain HTTP: beyond a private network, put TLS before it.",
        rows: &[row(
            "listen",
            Kind::Address,
            Required,
            "Address and port, like `0.0.0.0:9154`. A change takes effect at the next start.",
            "",
        )],
    },
    Section {
        path: "cli",
        header: "[cli]",
        meaning: "Settings of the command line on this machine.",
        rows: &[row(
            "nodes",
            Kind::List { of: "URLs", max: 64 },
            Value("[]"),
            "Other nodes' APIs, like `http://10.0.0.2:8053`: orders go to all of them, and `status` shows where they disagree.",
            "One status line per node must fit a screen.",
        )],
    },
    Section {
        path: "zone",
        header: "[zone.\"NAME\"]",
        meaning: "A zone we answer for. NAME is its apex.",
        rows: &[
            row(
                "file",
                Kind::Path,
                Required,
                "Standard master file with all that is not steered; relative to this file.",
                "",
            ),
            later("primaries", "Fetch the zone from other servers."),
            later("transfer", "Who may fetch the zone."),
            later("notify", "Who is told of new versions."),
        ],
    },
    Section {
        path: "defaults",
        header: "[defaults]",
        meaning: "Only holds the next two tables.",
        rows: &[
            row("check", Kind::Table, Nothing, "Defaults of checks.", ""),
            row("steer", Kind::Table, Nothing, "Defaults of steered names.", ""),
        ],
    },
    Section {
        path: "defaults.check",
        header: "[defaults.check]",
        meaning: "Holds for every check that does not say otherwise. In the worst case a death is found after `every + max(confirm × (fall − 1), blip) + timeout`.",
        rows: &[EVERY, STANDBY_EVERY, TIMEOUT, FALL, RISE, CONFIRM, BLIP, TRIPWIRE, WINDOW, DEGRADED],
    },
    Section {
        path: "defaults.steer",
        header: "[defaults.steer]",
        meaning: "Holds for every steered name that does not say otherwise.",
        rows: &[TTL, FAILBACK, LEAVE_DEGRADED, STRICT, STEER_CHECK],
    },
    Section {
        path: "check",
        header: "[check.NAME]",
        meaning: "How an origin is asked. Exactly one of `https`, `http`, `tcp`, `tls`, `dns`, `icmp`, `exec` and `heartbeat`; [the ways to ask](checks.md) has an example of each.",
        rows: &[
            row(
                "https",
                Kind::Text { max: 2048 },
                Nothing,
                "Path to ask for over TLS. The certificate is verified for the name's `host`; redirects are not followed.",
                "Longer paths are refused by common servers.",
            ),
            row(
                "http",
                Kind::Text { max: 2048 },
                Nothing,
                "Path to ask for without TLS.",
                "Longer paths are refused by common servers.",
            ),
            row(
                "tcp",
                Kind::Other("a port, or `true` with the port from `port` or the origin's `probe.port`"),
                Nothing,
                "Only connects.",
                "",
            ),
            row(
                "tls",
                Kind::Other("a port, or `true` with the port from `port` or the origin's `probe.port`"),
                Nothing,
                "Connects and shakes hands: the certificate is verified for the name's `host`.",
                "",
            ),
            row(
                "dns",
                Kind::Text { max: 300 },
                Nothing,
                "Name and type, like `\"www.example.com A\"`: asks the origin as a nameserver, over UDP, and over TCP where the reply is truncated. The type is A if it is left out.",
                "The longest name of DNS, and a type.",
            ),
            row(
                "icmp",
                Kind::Other("`true`"),
                Nothing,
                "Pings. The group of failoverd has to be in `net.ipv4.ping_group_range` (sysctl), which holds for IPv6 too; where it is not, nothing is known of the origin.",
                "",
            ),
            row(
                "exec",
                Kind::List { of: "words", max: 64 },
                Nothing,
                "Runs a program: its absolute path and its arguments, in which `{address}`, `{host}` and `{port}` are replaced. No shell reads it. Only with `exec = true` in `[server]`.",
                "A longer command is a script.",
            ),
            row(
                "heartbeat",
                Kind::Table,
                Nothing,
                "The origin calls us, once in every `every`, at `[heartbeat] listen`; see the table after this one. A call is a pass at once; `fall` calls in a row that do not come turn it down. `timeout` is how late one may be.",
                "",
            ),
            row(
                "port",
                Kind::Integer { min: 1, max: 65535 },
                Words("443 for https, 80 for http, 53 for dns"),
                "Port to ask; an origin's `probe.port` goes first.",
                "Ports of TCP and UDP.",
            ),
            row(
                "method",
                Kind::Text { max: 7 },
                Value("\"GET\""),
                "Method of the request. With `send` the default is `POST`.",
                "The longest is `OPTIONS`.",
            ),
            row(
                "send",
                Kind::Text { max: 65_536 },
                Nothing,
                "Body of the request. Better as `\"${ENV}\"` where it is secret; its type goes into `headers`.",
                "It is sent with every probe.",
            ),
            row(
                "http2",
                Kind::Boolean,
                Value("false"),
                "Speaks HTTP/2, and fails an origin that does not; only with https.",
                "",
            ),
            row(
                "headers",
                Kind::Map { max: 32 },
                Value("{}"),
                "Sent with the request. `Host` is not one of them: it is the name's `host`.",
                "Common servers refuse more.",
            ),
            row(
                "expect",
                Kind::List { of: "expressions", max: 32 },
                Value("[\"status in 200..299\"]"),
                "Each must hold or the origin has failed; [the ways to ask](checks.md) has them all. A list of your own replaces the default. For dns the default is `rcode == 'NOERROR'`, for exec `exit == 0`, for the others none. Where no expression speaks of status, rcode or exit, the default for it holds all the same.",
                "Each is evaluated for every probe.",
            ),
            row(
                "warn",
                Kind::List { of: "expressions", max: 32 },
                Value("[]"),
                "One that does not hold is a warning and moves nothing.",
                "Each is evaluated for every probe.",
            ),
            row(
                "ca_file",
                Kind::Path,
                Words("the system's roots"),
                "PEM file of the roots to trust instead, for https and tls; relative to this file.",
                "",
            ),
            EVERY,
            STANDBY_EVERY,
            TIMEOUT,
            FALL,
            RISE,
            CONFIRM,
            BLIP,
            TRIPWIRE,
            WINDOW,
            DEGRADED,
        ],
    },
    Section {
        path: "check.heartbeat",
        header: "heartbeat = { … } of a check",
        meaning: "Who may call.",
        rows: &[row(
            "secret_file",
            Kind::Path,
            Required,
            "File that holds the secret of this check, alone, of 16 characters and more; relative to this file. Each check has its own.",
            "",
        )],
    },
    Section {
        path: "origin",
        header: "[origin.NAME]",
        meaning: "Where a service lives: a host name, addresses, or both. At least one of `cname`, `a` and `aaaa`.",
        rows: &[
            row(
                "cname",
                Kind::Text { max: 255 },
                Nothing,
                "Host name. Served as CNAME where one can stand, else resolved and its addresses served.",
                "The longest name of DNS.",
            ),
            row(
                "a",
                Kind::List { of: "IPv4 addresses", max: 32 },
                Value("[]"),
                "Own IPv4 addresses; beside `cname` they are served where a CNAME cannot stand (an apex).",
                "More do not fit one UDP answer.",
            ),
            row(
                "aaaa",
                Kind::List { of: "IPv6 addresses", max: 32 },
                Value("[]"),
                "Own IPv6 addresses.",
                "More do not fit one UDP answer.",
            ),
            row(
                "platform",
                Kind::Other("`\"vercel\"`, `\"netlify\"`, `\"github-pages\"`, `\"fly\"` or `\"plain\"`"),
                Words("what the host name tells"),
                "What it lives on. Tells which authority issues its certificates, which addresses are published for it, what a name gets that nobody has claimed there, and what to do: see [readiness](readiness.md).",
                "",
            ),
            row("probe", Kind::Table, Nothing, "Where and how this origin's probes go; see the next table.", ""),
        ],
    },
    Section {
        path: "origin.probe",
        header: "probe = { … } of an origin",
        meaning: "DNS cannot tell clients a port; this only tells the prober.",
        rows: &[
            row(
                "port",
                Kind::Integer { min: 1, max: 65535 },
                Words("the check's"),
                "Port to ask, whatever the check says.",
                "Ports of TCP.",
            ),
            row("check", CHECKS, Words("the rung's"), "Check of this origin, whatever rung it stands on.", ""),
        ],
    },
    Section {
        path: "checks",
        header: "{ … } as a check",
        meaning: "Several checks that speak together for an origin, wherever one may stand. Exactly one of `all`, `any` and `checks`. Each is asked by itself; with `of = 2` an origin is up while at least two of them are, and down when fewer than two can be.",
        rows: &[
            row("all", CHECK_NAMES, Nothing, "All of them have to pass.", "Each multiplies the probes."),
            row("any", CHECK_NAMES, Nothing, "One of them is enough.", "Each multiplies the probes."),
            row(
                "of",
                Kind::Integer { min: 1, max: CHECKS_MAX },
                Nothing,
                "How many of `checks` have to pass.",
                "No more than there are.",
            ),
            row("checks", CHECK_NAMES, Nothing, "Those of which `of` have to pass.", "Each multiplies the probes."),
        ],
    },
    Section {
        path: "ladder",
        header: "[ladder.NAME]",
        meaning: "An order of preference that names may share. The same keys may stand in `[steer]` itself.",
        rows: &[row("primary", PRIMARY, Required, "Served whenever it works.", ""), BACKUP, EMERGENCY],
    },
    Section {
        path: "rung",
        header: "{ … } as a rung",
        meaning: "A rung with more than an origin's name. Exactly one of `origin` and `all`.",
        rows: &[
            row("origin", Kind::Reference("an origin"), Nothing, "The origin.", ""),
            row(
                "all",
                Kind::List { of: "origins", max: 32 },
                Nothing,
                "Equals: all of them that work are served together.",
                "More do not fit one UDP answer.",
            ),
            row(
                "check",
                Kind::Other("the name of a check, or a table of several; `false` on an emergency"),
                Words("the steered name's"),
                "Check of this rung. `false` leaves an emergency unwatched: it is served unasked.",
                "",
            ),
            row(
                "min_up",
                Kind::Integer { min: 1, max: 32 },
                Value("1"),
                "So many of `all` have to be usable. With fewer the rung is dead for failover; those that are left are served where nothing better is.",
                "No more than the rung has.",
            ),
            row(
                "panic",
                Kind::Other("a share, like `\"50%\"`"),
                Nothing,
                "With a smaller share of `all` usable the rung is dead for failover; and where nothing better is left, all of its origins that are not drained are served, rather than overrun the few.",
                "1% to 100%.",
            ),
            later("weights", "Shares of the traffic."),
        ],
    },
    Section {
        path: "steer",
        header: "[steer.\"NAME\"]",
        meaning: "A name whose answer we decide: absolute, in the deepest zone that holds it. Either `ladder` or its keys inline.",
        rows: &[
            row("ladder", Kind::Reference("a ladder"), Nothing, "The ladder of this name.", ""),
            row("primary", PRIMARY, Nothing, "As in `[ladder.NAME]`.", ""),
            BACKUP,
            EMERGENCY,
            STEER_CHECK,
            row(
                "host",
                Kind::OneOrList { of: "host names", max: 16 },
                Words("the steered name"),
                "SNI and Host of the probes; each is probed. Required for a wildcard.",
                "Each multiplies the probes.",
            ),
            TTL,
            FAILBACK,
            LEAVE_DEGRADED,
            STRICT,
        ],
    },
];

/// Words people use for our keys, from other tools.
pub(super) const OTHER_WORDS: &[(&str, &[&str])] = &[
    ("interval", &["every"]),
    ("period", &["every"]),
    ("frequency", &["every"]),
    ("retries", &["fall"]),
    ("threshold", &["fall"]),
    ("unhealthy_threshold", &["fall"]),
    ("healthy_threshold", &["rise"]),
    ("url", &["https", "webhook"]),
    ("path", &["https", "file"]),
    ("address", &["a"]),
    ("addresses", &["a"]),
    ("ip", &["a"]),
    ("ipv4", &["a"]),
    ("ipv6", &["aaaa"]),
    ("hostname", &["host", "cname"]),
    ("hosts", &["host"]),
    ("sni", &["host"]),
    ("target", &["cname"]),
    ("alias", &["cname"]),
    ("secondary", &["backup"]),
    ("fallback", &["backup", "emergency"]),
    ("backups", &["backup"]),
    ("last_resort", &["emergency"]),
    ("origins", &["origin", "all"]),
    ("pool", &["origin", "all", "ladder"]),
    ("any", &["all"]),
    ("bind", &["listen"]),
    ("port", &["listen"]),
    ("threads", &["workers"]),
    ("metrics", &["ops_listen"]),
    ("token", &["secret_file"]),
    ("zones", &["zone"]),
    ("record", &["steer"]),
    ("name", &["steer"]),
    ("service", &["steer"]),
    ("monitor", &["check"]),
    ("probe", &["check"]),
    ("ca", &["ca_file"]),
];
