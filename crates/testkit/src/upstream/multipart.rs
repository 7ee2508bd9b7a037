//! The one file of a `multipart/form-data` body (RFC 7578).

use bytes::Bytes;
use memchr::memmem::find;

/// A file that was sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Upload {
    pub(super) name: String,
    pub(super) mime: String,
    pub(super) content: Bytes,
}

/// The part named `file` of a body of this content type.
pub(super) fn file(content_type: &str, body: &Bytes) -> Option<Upload> {
    let boundary = parameter(content_type, "boundary")?;
    let delimiter = format!("--{boundary}");
    let mut at = find(body, delimiter.as_bytes())? + delimiter.len();
    loop {
        let rest = body.get(at..)?.strip_prefix(b"\r\n")?;
        let start = at + 2;
        let head_end = find(rest, b"\r\n\r\n")?;
        let content = start + head_end + 4;
        let end = content + find(body.get(content..)?, format!("\r\n{delimiter}").as_bytes())?;
        let head = std::str::from_utf8(&rest[..head_end]).ok()?;
        let disposition = header(head, "content-disposition")?;
        if parameter(disposition, "name").as_deref() == Some("file") {
            return Some(Upload {
                name: parameter(disposition, "filename").unwrap_or_else(|| "file".to_owned()),
                mime: header(head, "content-type")
                    .unwrap_or("application/octet-stream")
                    .to_owned(),
                content: body.slice(content..end),
            });
        }
        at = end + 2 + delimiter.len();
    }
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.split("\r\n").find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// A parameter of a header's value, with or without quotation marks.
fn parameter(value: &str, name: &str) -> Option<String> {
    value.split(';').skip(1).find_map(|parameter| {
        let (key, value) = parameter.trim().split_once('=')?;
        let value = value
            .strip_prefix('"')
            .map_or(value, |value| value.trim_end_matches('"'));
        key.eq_ignore_ascii_case(name).then(|| value.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_found_among_the_parts() {
        let body = Bytes::from_static(
            b"--b-1\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nx\r\n\
            --b-1\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a b.txt\"\r\n\
            Content-Type: text/plain\r\n\r\nline\r\n--b\r\n\r\n--b-1--\r\n",
        );
        let upload = file("multipart/form-data; boundary=\"b-1\"", &body).unwrap();
        assert_eq!(
            (upload.name.as_str(), upload.mime.as_str()),
            ("a b.txt", "text/plain")
        );
        assert_eq!(upload.content, "line\r\n--b\r\n");
    }

    #[test]
    fn what_has_no_file_is_refused() {
        let good = "--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n--b--";
        let refused = |content_type: &str, body: &str| {
            file(content_type, &Bytes::copy_from_slice(body.as_bytes())).is_none()
        };
        assert!(!refused("multipart/form-data; boundary=b", good));
        for cut in 0..good.len() - 2 {
            assert!(
                refused("multipart/form-data; boundary=b", &good[..cut]),
                "{cut}"
            );
        }
        assert!(refused("multipart/form-data", good));
        assert!(refused("multipart/form-data; boundary=c", good));
        assert!(refused("multipart/form-data; boundary=b", "--b--"));
    }
}
