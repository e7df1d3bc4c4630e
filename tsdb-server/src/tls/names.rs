//! The names in a certificate: its subject, and its alternative names for hosts and resources.
//!
//! The subject is written as OpenSSL does with `-nameopt RFC2253,-dn_rev`: `CN=agent,O=Example`, in the order of the
//! certificate. What has a type without a short name here, or a text in another encoding, makes the subject unreadable,
//! and a subject that is not read in full names nobody.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use tokio_rustls::rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// The names in a verified certificate: `CN=...`, `dns:...`, `uri:...`.
pub(super) fn of(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(parsed) = EndEntityCert::try_from(certificate) else { return Vec::new() };
    let subject = subject(parsed.subject()).filter(|subject| !subject.is_empty());
    let hosts = parsed.valid_dns_names().map(|name| format!("dns:{name}"));
    let resources = parsed.valid_uri_names().map(|name| format!("uri:{name}"));
    subject.into_iter().chain(hosts).chain(resources).collect()
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT: u8 = 0x06;
/// The types of text that are UTF-8: UTF8String, PrintableString, IA5String.
const TEXTS: [u8; 3] = [0x0c, 0x13, 0x16];

/// Short names of the parts of a subject (RFC 4514, section 3), by the object that names their type.
const TYPES: [(&[u8], &str); 8] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 5], "SERIALNUMBER"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
];

/// The subject as text; `None` if there is anything in it that is not understood.
fn subject(mut der: &[u8]) -> Option<String> {
    let mut out = String::new();
    while !der.is_empty() {
        let mut set = element(&mut der, SET)?;
        let mut first_of_set = true;
        while !set.is_empty() {
            let mut pair = element(&mut set, SEQUENCE)?;
            let object = element(&mut pair, OBJECT)?;
            let (_, name) = TYPES.iter().find(|(known, _)| *known == object)?;
            let value = TEXTS.iter().find_map(|tag| element(&mut pair, *tag))?;
            let value = std::str::from_utf8(value).ok().filter(|_| pair.is_empty())?;
            if !out.is_empty() {
                out.push(if first_of_set { ',' } else { '+' });
            }
            first_of_set = false;
            out.push_str(name);
            out.push('=');
            escape(value, &mut out);
        }
    }
    Some(out)
}

/// The content of the next element, which has this tag; `None` leaves `der` as it is.
fn element<'a>(der: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (found, rest) = der.split_first()?;
    let (length, rest) = rest.split_first()?;
    if *found != tag {
        return None;
    }
    let (length, rest) = match length {
        ..=0x7f => (usize::from(*length), rest),
        0x81 => rest.split_first().map(|(length, rest)| (usize::from(*length), rest))?,
        0x82 => {
            let (bytes, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*bytes)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    *der = rest;
    Some(content)
}

/// Writes a value so that it cannot be taken for another part of the subject (RFC 4514, section 2.4).
fn escape(value: &str, out: &mut String) {
    for (at, c) in value.char_indices() {
        if matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=') || (at == 0 && matches!(c, '#' | ' '))
        {
            out.push('\\');
        }
        out.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82][..], &length, content].concat()
    }

    fn part(object: &[u8], value: &str) -> Vec<u8> {
        let pair = [tagged(OBJECT, object), tagged(0x0c, value.as_bytes())].concat();
        tagged(SET, &tagged(SEQUENCE, &pair))
    }

    #[test]
    fn a_subject_is_written_in_the_order_of_the_certificate_and_escaped() {
        let der = [part(&[0x55, 4, 3], "agent"), part(&[0x55, 4, 10], "Example, CN=admin")].concat();
        assert_eq!(subject(&der).unwrap(), "CN=agent,O=Example\\, CN\\=admin");
        assert_eq!(subject(&[]), Some(String::new()));
    }

    #[test]
    fn a_subject_that_is_not_understood_names_nobody() {
        let known = part(&[0x55, 4, 3], "agent");
        assert_eq!(subject(&[known.clone(), part(&[0x55, 4, 99], "x")].concat()), None);
        for length in 1..known.len() {
            assert_eq!(subject(&known[..length]), None, "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_subject_or_none(der in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(subject(&der));
        }
    }
}
