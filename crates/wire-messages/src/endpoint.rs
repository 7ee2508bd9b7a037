//! Which operation a method and a path mean.

macro_rules! endpoints {
    ($($(#[$doc:meta])* $name:ident = $action:literal, $body:ident;)*) => {
        /// An operation of the API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Endpoint {
            $($(#[$doc])* $name,)*
        }

        impl Endpoint {
            /// Every operation, in the order of this table.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The operation's name, as policies and records know it. Stable.
            pub const fn action(self) -> &'static str {
                match self { $(Self::$name => $action,)* }
            }

            /// What the operation takes as a body.
            pub const fn body(self) -> BodyKind {
                match self { $(Self::$name => BodyKind::$body,)* }
            }
        }
    };
}

endpoints! {
    /// `POST /v1/messages`
    MessagesCreate = "messages.create", Json;
    /// `POST /v1/messages/count_tokens`
    MessagesCountTokens = "messages.count_tokens", Json;
    /// `GET /v1/models`
    ModelList = "models.list", None;
    /// `GET /v1/models/{id}`
    ModelGet = "models.get", None;
    /// `POST /v1/messages/batches`
    BatchCreate = "batches.create", Json;
    /// `GET /v1/messages/batches`
    BatchList = "batches.list", None;
    /// `GET /v1/messages/batches/{id}`
    BatchGet = "batches.get", None;
    /// `POST /v1/messages/batches/{id}/cancel`
    BatchCancel = "batches.cancel", None;
    /// `GET /v1/messages/batches/{id}/results`
    BatchResults = "batches.results", None;
    /// `DELETE /v1/messages/batches/{id}`
    BatchDelete = "batches.delete", None;
    /// `POST /v1/files`
    FileUpload = "files.upload", Multipart;
    /// `GET /v1/files`
    FileList = "files.list", None;
    /// `GET /v1/files/{id}`
    FileGet = "files.get", None;
    /// `GET /v1/files/{id}/content`
    FileContent = "files.content", None;
    /// `DELETE /v1/files/{id}`
    FileDelete = "files.delete", None;
    /// `HEAD /` or `HEAD /api/hello`: Claude Code asks before it works whether anybody is there.
    Probe = "probe", None;
}

/// What an operation takes as a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BodyKind {
    /// No body at all.
    None,
    /// `application/json`.
    Json,
    /// `multipart/form-data`.
    Multipart,
}

impl Endpoint {
    /// The operation that `method` on `path` means, or `None` for anything that is not exactly one
    /// of the table's.
    ///
    /// `path` is the part before the query (Claude Code posts to `/v1/messages?beta=true`), below
    /// the place where the API is mounted, and matched byte for byte. A path that some server
    /// might normalise into another one has no operation: nothing with a percent sign, an empty
    /// segment or two dots in a row.
    pub fn of(method: &str, path: &str) -> Option<Self> {
        if let ("HEAD", "" | "/" | "/api/hello") = (method, path) {
            return Some(Self::Probe);
        }
        let segments = &mut path.strip_prefix("/v1/")?.split('/');
        let family = segments.next()?;
        let rest = [segments.next(), segments.next(), segments.next()];
        if segments.next().is_some() {
            return None;
        }
        match (method, family, rest) {
            ("POST", "messages", [None, ..]) => Some(Self::MessagesCreate),
            ("POST", "messages", [Some("count_tokens"), None, _]) => {
                Some(Self::MessagesCountTokens)
            }
            (_, "messages", [Some("batches"), id, verb]) => Self::of_batches(method, id, verb),
            ("GET", "models", [None, ..]) => Some(Self::ModelList),
            ("GET", "models", [Some(id), None, _]) if is_id(id) => Some(Self::ModelGet),
            (_, "files", [id, verb, None]) => Self::of_files(method, id, verb),
            _ => None,
        }
    }

    fn of_batches(method: &str, id: Option<&str>, verb: Option<&str>) -> Option<Self> {
        if !id.is_none_or(is_id) {
            return None;
        }
        match (method, id, verb) {
            ("POST", None, None) => Some(Self::BatchCreate),
            ("GET", None, None) => Some(Self::BatchList),
            ("GET", Some(_), None) => Some(Self::BatchGet),
            ("DELETE", Some(_), None) => Some(Self::BatchDelete),
            ("POST", Some(_), Some("cancel")) => Some(Self::BatchCancel),
            ("GET", Some(_), Some("results")) => Some(Self::BatchResults),
            _ => None,
        }
    }

    fn of_files(method: &str, id: Option<&str>, verb: Option<&str>) -> Option<Self> {
        if !id.is_none_or(is_id) {
            return None;
        }
        match (method, id, verb) {
            ("POST", None, None) => Some(Self::FileUpload),
            ("GET", None, None) => Some(Self::FileList),
            ("GET", Some(_), None) => Some(Self::FileGet),
            ("DELETE", Some(_), None) => Some(Self::FileDelete),
            ("GET", Some(_), Some("content")) => Some(Self::FileContent),
            _ => None,
        }
    }
}

/// Whether a segment can be an id. One that a path normaliser would act on cannot.
fn is_id(segment: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    (1..=256).contains(&segment.len())
        && segment.bytes().all(plain)
        && segment != "."
        && !segment.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_found_at_its_place() {
        let table = [
            ("POST", "/v1/messages", "messages.create"),
            ("POST", "/v1/messages/count_tokens", "messages.count_tokens"),
            ("GET", "/v1/models", "models.list"),
            ("GET", "/v1/models/claude-opus-4-5@x", "-"),
            ("GET", "/v1/models/claude-opus-4-5-20251101", "models.get"),
            ("GET", "/v1/models/us.anthropic.claude:0", "models.get"),
            ("POST", "/v1/messages/batches", "batches.create"),
            ("GET", "/v1/messages/batches", "batches.list"),
            ("GET", "/v1/messages/batches/msgbatch_1", "batches.get"),
            (
                "POST",
                "/v1/messages/batches/msgbatch_1/cancel",
                "batches.cancel",
            ),
            (
                "GET",
                "/v1/messages/batches/msgbatch_1/results",
                "batches.results",
            ),
            (
                "DELETE",
                "/v1/messages/batches/msgbatch_1",
                "batches.delete",
            ),
            ("POST", "/v1/files", "files.upload"),
            ("GET", "/v1/files", "files.list"),
            ("GET", "/v1/files/file_1", "files.get"),
            ("GET", "/v1/files/file_1/content", "files.content"),
            ("DELETE", "/v1/files/file_1", "files.delete"),
            ("HEAD", "", "probe"),
            ("HEAD", "/", "probe"),
            ("HEAD", "/api/hello", "probe"),
        ];
        let mut found = Vec::new();
        for (method, path, action) in table {
            let endpoint = Endpoint::of(method, path);
            assert_eq!(
                endpoint.map_or("-", Endpoint::action),
                action,
                "{method} {path}"
            );
            found.extend(endpoint);
        }
        for endpoint in Endpoint::ALL {
            assert!(found.contains(endpoint), "{endpoint:?} has no place");
        }
    }

    #[test]
    fn what_is_not_exactly_known_has_no_operation() {
        let long = format!("/v1/files/{}", "a".repeat(257));
        for (method, path) in [
            ("GET", "/v1/messages"),
            ("post", "/v1/messages"),
            ("POST", "/v1/messages/"),
            ("POST", "//v1/messages"),
            ("POST", "/v1//messages"),
            ("POST", "/v1/Messages"),
            ("POST", "/v1/messages?beta=true"),
            ("POST", "/v1/messages;x"),
            ("POST", "/v1/%6dessages"),
            ("POST", "/v1/messages/count_tokens/"),
            ("POST", "/v1/messages/count_tokens/x"),
            ("POST", "/v1/files/../messages"),
            ("GET", "/v1/files/."),
            ("GET", "/v1/files/.."),
            ("GET", "/v1/files/a..b"),
            ("GET", "/v1/files/./content"),
            ("GET", "/v1/files/a%2fb"),
            ("GET", "/v1/files/a\\b"),
            ("GET", "/v1/files/file_1/content/"),
            ("GET", "/v1/files/file_1/content/x"),
            ("GET", "/v1/files//content"),
            ("POST", "/v1/files/file_1"),
            ("GET", &long),
            ("GET", "/v1/models/"),
            ("GET", "/v1/models/a/b"),
            ("GET", "/v1/messages/batches/"),
            ("GET", "/v1/messages/batches/x/cancel"),
            ("POST", "/v1/messages/batches/x/cancel/y"),
            ("GET", "/v1/messages/x"),
            ("GET", "/"),
            ("HEAD", "/v1/messages"),
            ("HEAD", "/api/hello/"),
            ("POST", "/v1/oauth/token"),
            ("POST", "/v1"),
            ("POST", "/v1/"),
            ("POST", "messages"),
            ("POST", "/v1/messages\u{0}"),
            ("POST", "/v1/messages "),
        ] {
            assert_eq!(Endpoint::of(method, path), None, "{method} {path:?}");
        }
    }
}
