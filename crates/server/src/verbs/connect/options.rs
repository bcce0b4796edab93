//! What the query of a stream says, read and judged as the original does.

use meta::{ApiError, FieldError, FieldErrors, FieldPath, GroupKind};
use schema::Value;

use crate::query::{Query, parse_int};
use crate::status::Failure;

/// `PodLogOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Container, empty for the only one.
    pub container: String,
    /// Do not check who the kubelet is.
    pub insecure: bool,
    /// What the kubelet is asked, as its query.
    pub query: String,
}

impl LogOptions {
    /// Reads and checks. `name` is that of the pod.
    pub fn read(query: &Query, name: &str) -> Result<LogOptions, Failure> {
        let number = |key: &str| query.get(key).map(parse_int).transpose().map_err(unreadable);
        let (tail, since, limit) = (number("tailLines")?, number("sinceSeconds")?, number("limitBytes")?);
        let time = query.get("sinceTime").filter(|time| !time.is_empty() && *time != "null");
        let time = time.map(since_time).transpose()?;
        let errors = check(query, tail, limit, since, time.is_some());
        if !errors.is_empty() {
            let kind = GroupKind { group: "".into(), kind: "PodLogOptions".into() };
            return Err(ApiError::invalid(kind, name, errors).into());
        }
        let mut asked = Vec::new();
        for flag in ["follow", "previous", "timestamps"] {
            if query.flag(flag) == Some(true) {
                asked.push((flag, "true".to_owned()));
            }
        }
        let numbers = [("limitBytes", limit), ("sinceSeconds", since), ("tailLines", tail)];
        asked.extend(numbers.into_iter().filter_map(|(key, number)| Some((key, number?.to_string()))));
        asked.extend(time.map(|time| ("sinceTime", time)));
        Ok(LogOptions {
            container: query.text("container").to_owned(),
            insecure: query.flag("insecureSkipTLSVerifyBackend").unwrap_or_default(),
            query: encoded(asked),
        })
    }
}

fn check(
    query: &Query,
    tail: Option<i64>,
    limit: Option<i64>,
    since: Option<i64>,
    since_time: bool,
) -> FieldErrors {
    let mut errors = FieldErrors::new();
    let mut invalid = |field: &str, value: i64, detail: &str| {
        errors.push(FieldError::invalid(&FieldPath::root(field), &Value::Int(value), detail));
    };
    if let Some(lines) = tail.filter(|lines| *lines < 0) {
        invalid("tailLines", lines, "must be greater than or equal to 0");
    }
    if let Some(bytes) = limit.filter(|bytes| *bytes < 1) {
        invalid("limitBytes", bytes, "must be greater than 0");
    }
    match since {
        Some(_) if since_time => errors.push(FieldError::forbidden(
            // How the original prints the path of the options themselves.
            &FieldPath::root("[]"),
            "at most one of `sinceTime` or `sinceSeconds` may be specified",
        )),
        Some(seconds) if seconds < 1 => invalid("sinceSeconds", seconds, "must be greater than 0"),
        _ => {}
    }
    if query.get("stream").is_some() {
        // Behind a feature gate of the original that is off.
        errors.push(FieldError::forbidden(&FieldPath::root("stream"), "may not be specified"));
    }
    errors
}

/// A time as the kubelet is told it: whole seconds, UTC.
fn since_time(text: &str) -> Result<String, Failure> {
    text.parse().map(meta::time::rfc3339).map_err(|_| {
        let quoted = meta::field::quoted(text);
        let layout = "2006-01-02T15:04:05Z07:00";
        Failure::bad_request(format!(
            "parsing time {quoted} as \"{layout}\": cannot parse {quoted} as \"2006\""
        ))
    })
}

/// `PodExecOptions` and `PodAttachOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamOptions {
    /// Container, empty for the only one.
    pub container: String,
    /// The client sends input.
    pub stdin: bool,
    /// The client wants output.
    pub stdout: bool,
    /// The client wants errors apart.
    pub stderr: bool,
    /// There is a terminal.
    pub tty: bool,
    /// What to run; none when attaching.
    pub command: Vec<String>,
}

impl StreamOptions {
    /// Reads; there is nothing to check.
    pub fn read(query: &Query) -> StreamOptions {
        let flag = |key| query.flag(key).unwrap_or_default();
        StreamOptions {
            container: query.text("container").to_owned(),
            stdin: flag("stdin"),
            stdout: flag("stdout"),
            stderr: flag("stderr"),
            tty: flag("tty"),
            command: query.all("command").map(str::to_owned).collect(),
        }
    }

    /// What the kubelet is asked, as its query.
    pub fn query(&self) -> String {
        let flags =
            [("error", self.stderr), ("input", self.stdin), ("output", self.stdout), ("tty", self.tty)];
        let flags = flags.into_iter().filter(|(_, set)| *set).map(|(key, _)| (key, "1".to_owned()));
        let command = self.command.iter().map(|word| ("command", word.clone()));
        encoded(command.chain(flags).collect())
    }
}

/// The kubelet's query for `PodPortForwardOptions`.
pub fn port_forward(query: &Query) -> Result<String, Failure> {
    let port = |text: &str| match parse_int(text).map_err(unreadable)? {
        port if i32::try_from(port).is_ok() => Ok(port.to_string()),
        _ => {
            let quoted = meta::field::quoted(text);
            Err(Failure::bad_request(format!("strconv.ParseInt: parsing {quoted}: value out of range")))
        }
    };
    let ports = query.all("ports").map(port).collect::<Result<Vec<_>, _>>()?;
    Ok(if ports.is_empty() { String::new() } else { encoded(vec![("port", ports.join(","))]) })
}

fn unreadable(error: crate::query::ParseIntError) -> Failure {
    Failure::bad_request(error.to_string())
}

/// Parameters sorted by name and escaped, as Go's `url.Values.Encode` does.
fn encoded(mut parameters: Vec<(&str, String)>) -> String {
    parameters.sort_by_key(|(key, _)| *key);
    let pairs = parameters.iter().map(|(key, value)| format!("{key}={}", escaped(value)));
    pairs.collect::<Vec<_>>().join("&")
}

fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(query: &str) -> Result<String, String> {
        let read = LogOptions::read(&Query::parse(query), "p").map(|options| options.query);
        read.map_err(|failure| crate::status::Status::of_failure(&failure).expect("a Status").message)
    }

    #[test]
    fn log_options_are_handed_on_sorted() {
        let query = "tailLines=5&follow=true&previous=false&timestamps&limitBytes=7&container=c&sinceTime=2024-01-02T03:04:05%2B01:00";
        let expected =
            "follow=true&limitBytes=7&sinceTime=2024-01-02T02%3A04%3A05Z&tailLines=5&timestamps=true";
        assert_eq!(log(query).as_deref(), Ok(expected));
        assert_eq!(log("").as_deref(), Ok(""));
    }

    #[test]
    fn log_options_that_make_no_sense_are_refused() {
        for (query, expected) in [
            ("tailLines=-1", "tailLines: Invalid value: -1: must be greater than or equal to 0"),
            ("limitBytes=0", "limitBytes: Invalid value: 0: must be greater than 0"),
            ("sinceSeconds=0", "sinceSeconds: Invalid value: 0: must be greater than 0"),
            (
                "sinceSeconds=1&sinceTime=2024-01-02T03:04:05Z",
                "[]: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
            ),
            ("stream=All", "stream: Forbidden: may not be specified"),
        ] {
            assert_eq!(log(query), Err(format!("PodLogOptions \"p\" is invalid: {expected}")), "{query}");
        }
        assert!(log("sinceTime=yesterday").expect_err("no time").starts_with("parsing time \"yesterday\""));
        assert!(log("tailLines=x").expect_err("no number").starts_with("strconv.ParseInt"));
    }

    #[test]
    fn commands_keep_their_words() {
        let query =
            Query::parse("command=sh&command=-c&command=a+%26+b&stdin=true&stdout=1&stderr=false&tty");
        let options = StreamOptions::read(&query);
        assert_eq!(options.query(), "command=sh&command=-c&command=a+%26+b&input=1&output=1&tty=1");
        assert!(!options.stderr && options.tty);
    }

    #[test]
    fn ports_are_numbers() {
        let read = |query| port_forward(&Query::parse(query)).ok();
        assert_eq!(read("ports=80&ports=443").as_deref(), Some("port=80%2C443"));
        assert_eq!(read("").as_deref(), Some(""));
        assert_eq!(read("ports=http"), None);
        assert_eq!(read("ports=9999999999"), None);
    }
}
