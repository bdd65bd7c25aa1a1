//! The DNS server: A records of a table (RFC 1035).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

const HEADER_LEN: usize = 12;
const TYPE_A: u16 = 1;
const CLASS_IN: u16 = 1;
const TTL_SECONDS: u32 = 300;
const RCODE_NOERROR: u8 = 0;
const RCODE_FORMERR: u8 = 1;
const RCODE_NXDOMAIN: u8 = 3;
const RCODE_NOTIMP: u8 = 4;

/// Names in lower case.
pub(crate) type Table = BTreeMap<String, Ipv4Addr>;

/// An answered query.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The name asked for, in lower case; empty if the question could not be read.
    pub name: String,
    /// The A record returned.
    pub ip: Option<Ipv4Addr>,
    /// The message to send.
    pub message: Vec<u8>,
}

/// Answers `query`; `None` if it is not a query at all.
pub(crate) fn answer(query: &[u8], table: &Table) -> Option<Answer> {
    let header: &[u8; HEADER_LEN] = query.first_chunk()?;
    let is_response = header[2] & 0x80 != 0;
    if is_response {
        return None;
    }
    let opcode = header[2] >> 3 & 0xF;
    let questions = u16::from_be_bytes([header[4], header[5]]);
    if opcode != 0 {
        return Some(failure(header, RCODE_NOTIMP));
    }
    let Some(question) = Question::parse(&query[HEADER_LEN..]).filter(|_| questions == 1) else {
        return Some(failure(header, RCODE_FORMERR));
    };

    let entry = table.get(&question.name).copied();
    let ip = entry.filter(|_| question.qtype == TYPE_A && question.qclass == CLASS_IN);
    // A known name without a record of the type asked for is not an error: the answer section is empty.
    let rcode = if entry.is_some() { RCODE_NOERROR } else { RCODE_NXDOMAIN };
    let mut message = response_header(header, rcode, 1, u16::from(ip.is_some())).to_vec();
    message.extend_from_slice(question.raw);
    if let Some(ip) = ip {
        message.extend_from_slice(&[0xC0, HEADER_LEN as u8]); // the name: a pointer to the question
        message.extend_from_slice(&TYPE_A.to_be_bytes());
        message.extend_from_slice(&CLASS_IN.to_be_bytes());
        message.extend_from_slice(&TTL_SECONDS.to_be_bytes());
        message.extend_from_slice(&4_u16.to_be_bytes());
        message.extend_from_slice(&ip.octets());
    }
    Some(Answer { name: question.name, ip, message })
}

struct Question<'a> {
    name: String,
    qtype: u16,
    qclass: u16,
    raw: &'a [u8],
}

impl<'a> Question<'a> {
    /// A question with an uncompressed name, as every query has it.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut name = String::new();
        let mut at = 0;
        loop {
            let len = usize::from(*bytes.get(at)?);
            at += 1;
            if len == 0 {
                break;
            }
            if len > 63 || name.len() + len > 253 {
                return None;
            }
            let label = std::str::from_utf8(bytes.get(at..at + len)?).ok()?;
            if !name.is_empty() {
                name.push('.');
            }
            name.push_str(&label.to_ascii_lowercase());
            at += len;
        }
        let [t0, t1, c0, c1] = *bytes.get(at..)?.first_chunk()?;
        Some(Self {
            name,
            qtype: u16::from_be_bytes([t0, t1]),
            qclass: u16::from_be_bytes([c0, c1]),
            raw: &bytes[..at + 4],
        })
    }
}

fn failure(header: &[u8; HEADER_LEN], rcode: u8) -> Answer {
    Answer { name: String::new(), ip: None, message: response_header(header, rcode, 0, 0).to_vec() }
}

fn response_header(query: &[u8; HEADER_LEN], rcode: u8, questions: u16, answers: u16) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[..2].copy_from_slice(&query[..2]);
    header[2] = 0x84 | query[2] & 0x79; // response, authoritative; opcode and RD as asked
    header[3] = 0x80 | rcode; // recursion available
    header[4..6].copy_from_slice(&questions.to_be_bytes());
    header[6..8].copy_from_slice(&answers.to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn query(name: &[&str], qtype: u16) -> Vec<u8> {
        let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name {
            bytes.push(label.len() as u8);
            bytes.extend_from_slice(label.as_bytes());
        }
        bytes.push(0);
        bytes.extend_from_slice(&qtype.to_be_bytes());
        bytes.extend_from_slice(&CLASS_IN.to_be_bytes());
        bytes
    }

    fn table() -> Table {
        [("hub.example".to_owned(), Ipv4Addr::new(10, 54, 0, 10))].into()
    }

    #[test]
    fn known_name_gets_its_a_record_in_any_case() {
        let answer = answer(&query(&["HUB", "example"], TYPE_A), &table()).unwrap();
        assert_eq!(answer.name, "hub.example");
        assert_eq!(answer.ip, Some(Ipv4Addr::new(10, 54, 0, 10)));
        assert_eq!(answer.message[..4], [0x12, 0x34, 0x85, 0x80]);
        assert_eq!(answer.message[6..8], [0, 1]);
        assert!(answer.message.ends_with(&[0, 0, 1, 44, 0, 4, 10, 54, 0, 10]));
    }

    #[test]
    fn known_name_of_another_type_gets_an_empty_answer() {
        let answer = answer(&query(&["hub", "example"], 28), &table()).unwrap();
        assert_eq!((answer.ip, answer.message[3] & 0xF, answer.message[7]), (None, RCODE_NOERROR, 0));
    }

    #[test]
    fn unknown_name_does_not_exist() {
        let answer = answer(&query(&["nowhere"], TYPE_A), &table()).unwrap();
        assert_eq!((answer.ip, answer.message[3] & 0xF), (None, RCODE_NXDOMAIN));
    }

    #[test]
    fn cut_question_is_a_format_error() {
        let whole = query(&["hub", "example"], TYPE_A);
        let answer = answer(&whole[..whole.len() - 1], &table()).unwrap();
        assert_eq!(answer.message[3] & 0xF, RCODE_FORMERR);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(answer) = answer(&bytes, &table()) {
                prop_assert_eq!(&answer.message[..2], &bytes[..2]);
            }
        }
    }
}
