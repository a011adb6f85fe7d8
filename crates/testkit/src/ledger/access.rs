//! The access logs of the node and of the agents say what visitors were told and what origins saw.
//!
//! A log is written behind what it tells of, so a process that is killed leaves out what it carried at that moment, and what had
//! ended less than [`LOG_SETTLES`] before. Of an agent's streams those are open that a request has used and that
//! were kept for another one, at most [`STREAM_KEPT`]. A log that says that
//! it lost lines may lack any. Whatever is in a log must be right all the same.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Asked, Books, Told};

/// Until a line is in the file, on a machine that is busy.
const LOG_SETTLES: Duration = Duration::from_secs(2);

/// How long a stream waits for its next request until it is swept up, and the time that its end takes.
const STREAM_KEPT: Duration = Duration::from_secs(20);

/// What stands before the fields of a record in a log in text.
const RECORD: &str = " adit::access: ";

/// What a log says that lacks lines.
const LOST: &str = "lines of the log were lost";

/// What a visitor saw of the answer to a request, whoever gave it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The request's id, as the node said it.
    pub request: String,
    /// The status.
    pub status: u16,
    /// Bytes of the body that was sent.
    pub in_bytes: u64,
    /// Bytes of the body that came.
    pub out_bytes: u64,
}

/// Whose log ends in the middle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Killed {
    /// The node's.
    Node,
    /// That of the agent of an endpoint.
    Agent(char),
}

/// What the logs say.
#[derive(Clone, Debug, Default)]
pub struct AccessLogs {
    requests: Vec<Record>,
    streams: Vec<(char, Record)>,
    unreadable: Vec<String>,
    /// The node has said that it lost lines: more came than could be written.
    is_incomplete: bool,
}

/// The fields of one line.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Record(BTreeMap<String, String>);

type Streams<'a> = BTreeMap<&'a str, Vec<char>>;

impl AccessLogs {
    /// Reads the node's log; of what was asked under a name, that of the endpoints of `marks`. Others may be flooded.
    pub fn read_node(&mut self, marks: &[char], log: &str) {
        self.is_incomplete |= log.contains(LOST);
        let names: Vec<_> = marks.iter().map(|mark| format!(" hostname={mark}.")).collect();
        let counts = |fields: &str| {
            !fields.contains(" hostname=") || names.iter().any(|name| fields.contains(name.as_str()))
        };
        let records = self.records(log, &["id", "outcome", "out_bytes", "in_bytes"], counts);
        self.requests.extend(records);
    }

    /// Reads the log of the agent of `mark`.
    pub fn read_agent(&mut self, mark: char, log: &str) {
        let records = self.records(log, &["stream", "outcome", "out_bytes", "in_bytes"], |_| true);
        self.streams.extend(records.into_iter().map(|record| (mark, record)));
    }

    /// How many lines of a log are records.
    #[must_use]
    pub fn lines(log: &str) -> usize {
        log.lines().filter(|line| line.contains(RECORD)).count()
    }

    /// How many records there are of requests, and of streams.
    #[must_use]
    pub fn len(&self) -> [usize; 2] {
        [self.requests.len(), self.streams.len()]
    }

    /// Whether there is none at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == [0, 0]
    }

    /// What of it cannot be, if the books are right.
    #[must_use]
    pub fn violations(&self, books: &Books) -> Vec<String> {
        let mut found = self.unreadable.clone();
        let (numbered, streams) = (self.by_number(), self.by_stream());
        for (number, asked) in &books.requests {
            let records = numbered.get(number).map(Vec::as_slice).unwrap_or_default();
            let is_lost = self.is_incomplete || books.is_lost(asked);
            let checks = [
                told(asked, records, [books.is_lost(asked), is_lost]),
                arrived(asked, records, is_lost),
                self.carried((asked, records), &streams, books),
            ];
            found.extend(checks.into_iter().flatten().map(|what| format!("request {number}: {what}")));
        }
        found.extend(self.requests.iter().filter_map(|record| invented(record, books)));
        found.extend(twice(self.requests.iter().map(|record| record.get("id"))));
        found.extend(self.strange_streams(&streams, books));
        found
    }

    fn records(&mut self, log: &str, needed: &[&str], counts: impl Fn(&str) -> bool) -> Vec<Record> {
        let mut records = Vec::new();
        for line in log.lines() {
            let Some((_, fields)) = line.split_once(RECORD).filter(|(_, fields)| counts(fields)) else {
                continue;
            };
            let pairs = fields.split(' ').filter_map(|field| field.split_once('='));
            let record = Record(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
            if needed.iter().all(|name| record.0.contains_key(*name)) {
                records.push(record);
            } else {
                self.unreadable.push(format!("no record: {line}"));
            }
        }
        records
    }

    fn by_number(&self) -> BTreeMap<u64, Vec<&Record>> {
        let mut numbered: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for record in &self.requests {
            if let Some(number) = record.number() {
                numbered.entry(number).or_default().push(record);
            }
        }
        numbered
    }

    /// In whose log each stream is, by the id that it was opened for.
    fn by_stream(&self) -> Streams<'_> {
        let mut streams = Streams::new();
        for (mark, record) in &self.streams {
            streams.entry(record.get("stream")).or_default().push(*mark);
        }
        streams
    }

    /// What arrived went through the agent that it was meant for, on the stream that the node names.
    fn carried(
        &self,
        (asked, records): (&Asked, &[&Record]),
        streams: &Streams<'_>,
        books: &Books,
    ) -> Option<String> {
        if asked.delivered.is_empty() {
            return None;
        }
        let stream = records.iter().find_map(|record| record.0.get("stream"))?;
        let marks = streams.get(stream.as_str()).map(Vec::as_slice).unwrap_or_default();
        match marks.iter().find(|mark| **mark != asked.mark) {
            Some(mark) => Some(format!("stream {stream} is in the log of the agent of {mark}")),
            None if !marks.is_empty() => None,
            None if self.was_open(stream, asked, books) => None,
            None => Some(format!("stream {stream} is in no agent's log")),
        }
    }

    /// Whether the agent was killed while the stream was, or may have been, open.
    fn was_open(&self, stream: &str, asked: &Asked, books: &Books) -> bool {
        let on_it = self.requests.iter().filter(|record| record.get("stream") == stream);
        let all = on_it.filter_map(|record| books.requests.get(&record.number()?));
        let last_use = all.filter_map(ended).max();
        let until = last_use.map_or(Duration::MAX, |last| last + STREAM_KEPT);
        books.was_killed(Killed::Agent(asked.mark), asked.at, until)
    }

    /// An agent has streams from the node only, and as many as the node has tried to open.
    fn strange_streams(&self, streams: &Streams<'_>, books: &Books) -> Option<String> {
        if self.is_incomplete || books.kills.iter().any(|(killed, _)| *killed == Killed::Node) {
            return None;
        }
        let tries: BTreeMap<_, _> =
            self.requests.iter().map(|record| (record.get("id"), record.tries())).collect();
        streams.iter().find_map(|(stream, marks)| match tries.get(stream) {
            None => Some(format!("stream {stream} is in an agent's log and not in the node's")),
            Some(tries) if marks.len() > *tries => {
                Some(format!("stream {stream} came {} times, and was tried {tries} times", marks.len()))
            }
            Some(_) => None,
        })
    }
}

impl Record {
    fn get(&self, field: &str) -> &str {
        self.0.get(field).map(String::as_str).unwrap_or_default()
    }

    fn tries(&self) -> usize {
        self.get("tries").parse().unwrap_or_default()
    }

    /// The first part of the path.
    fn number(&self) -> Option<u64> {
        self.get("path").split('/').nth(1)?.parse().ok()
    }

    fn is_served(&self) -> bool {
        self.get("outcome") == "served"
    }

    /// The same in a few words.
    fn words(&self) -> [&str; 4] {
        ["outcome", "status", "in_bytes", "out_bytes"].map(|field| self.get(field))
    }
}

impl Books {
    /// Whether the node's log may lack this request.
    fn is_lost(&self, asked: &Asked) -> bool {
        let until = ended(asked).map_or(Duration::MAX, |ended| ended + LOG_SETTLES);
        self.was_killed(Killed::Node, asked.at, until)
    }

    fn was_killed(&self, whose: Killed, from: Duration, until: Duration) -> bool {
        self.kills.iter().any(|(killed, at)| *killed == whose && (from..=until).contains(at))
    }
}

fn ended(asked: &Asked) -> Option<Duration> {
    asked.told.last().map(|(at, _)| *at)
}

/// Who was answered stands in the log once, with that answer; who saw it break is not in it as served.
fn told(asked: &Asked, records: &[&Record], [was_killed, is_lost]: [bool; 2]) -> Option<String> {
    let (expected, answer) = match (&asked.told.last()?.1, &asked.answer) {
        (Told::Complete, Some(answer)) => ("served", answer),
        (Told::Error(_), Some(answer)) => ("refused", answer),
        // What the node had given to the connection was lost with the node.
        (Told::Cut, _) if !was_killed && records.iter().any(|record| record.is_served()) => {
            return Some("broke at the visitor, and is in the log as served".to_owned());
        }
        _ => return None,
    };
    let Answer { request, status, in_bytes, out_bytes } = answer;
    let words = [expected.to_owned(), status.to_string(), in_bytes.to_string(), out_bytes.to_string()];
    let words = words.each_ref().map(String::as_str);
    let Some(record) = records.iter().find(|record| record.get("id") == request) else {
        return (!is_lost).then(|| format!("was answered as {request}, which is not in the log"));
    };
    // What the node says by itself is not metered.
    let compared = if expected == "served" { 4 } else { 2 };
    let is_right = record.words()[..compared] == words[..compared];
    (!is_right).then(|| format!("was answered {words:?}, and the log has {:?}", record.words()))
}

/// What arrived at an origin stands in the node's log, however it ended, with its stream.
fn arrived(asked: &Asked, records: &[&Record], is_lost: bool) -> Option<String> {
    if asked.delivered.is_empty() || is_lost {
        return None;
    }
    let has_stream = records.iter().any(|record| record.0.contains_key("stream"));
    (!has_stream).then(|| format!("arrived, and the log has {} records, none with a stream", records.len()))
}

/// Nobody is served who did not ask, and nobody under another name.
fn invented(record: &Record, books: &Books) -> Option<String> {
    let label = record.get("hostname").split('.').next().unwrap_or_default();
    let is_ours = books.requests.values().any(|asked| label == asked.mark.to_string());
    let asked = record.number().and_then(|number| books.requests.get(&number));
    let is_asked = asked.is_some_and(|asked| label == asked.mark.to_string());
    let (path, id) = (record.get("path"), record.get("id"));
    (is_ours && record.is_served() && !is_asked).then(|| format!("{id} at {path} of {label} was never asked"))
}

/// Each has one record.
fn twice<'a>(ids: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut ids: Vec<_> = ids.collect();
    ids.sort_unstable();
    let pair = ids.array_windows().find(|[one, next]| one == next)?;
    Some(format!("{} has several records", pair[0]))
}

#[cfg(test)]
mod tests;
