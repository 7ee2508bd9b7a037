//! Masking on the wire, as tower layers.
//!
//! [`MaskLayer`] does both directions. Where a layer between reads responses for a record of its
//! own, [`MaskResponseLayer`] outside of it and a [`MaskLayer`] inside that does requests alone
//! keep the two apart: the record is made of what came, whatever the caller gets of it.

mod body;
mod request;
mod response;
mod service;
mod wire;

use std::{fmt, sync::Arc};

use http::{HeaderMap, header};
use tower_layer::Layer;

pub use self::{
    body::ResponseBody,
    response::{MaskResponse, MaskResponseLayer},
    service::Mask,
    wire::{ChooseWire, Wire},
};
use crate::Masker;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The largest body that is held to be masked.
const MAX_BODY: usize = 32 << 20;

/// Masks what goes over the wire: requests before they go on, responses before they come back.
///
/// Changing bodies has a price: prompt caches that were filled with the original miss, and thinking
/// blocks that were signed are refused when they come back changed. So the layer does nothing
/// unless it is told to, and a layer that does nothing says so: [`MaskLayer::off`].
///
/// Put it behind the layer that scans requests, whose [`Findings`](tollbook_exchange::Findings) it
/// uses, and before the one that forwards. Without findings it scans by itself. Those findings are
/// taken for its own: where the other layer has another profile, say so with
/// [`MaskLayer::choosing`] and [`Wire::requests`].
///
/// A request in which something is found that lets nothing pass is refused, and so is a response
/// that is one document: those are read to their end before they pass. Any other response ends
/// there, as it does where it cannot be masked on: with [`Cut`](tollbook_exchange::http::Cut) as the
/// error of its body.
///
/// Responses are asked for without a content-encoding. One that comes with gzip all the same is
/// decoded and goes on plain; one in another coding is refused.
#[derive(Clone)]
#[must_use]
pub struct MaskLayer {
    settings: Arc<Settings>,
}

#[derive(Clone)]
struct Settings {
    choose: Choose,
    max_body: usize,
}

#[derive(Clone)]
enum Choose {
    Always {
        masker: Masker,
        requests: bool,
        responses: bool,
    },
    By(Arc<dyn ChooseWire>),
}

impl MaskLayer {
    /// A layer that lets everything pass as it is.
    pub fn off() -> Self {
        Self::choosing(Wire::default())
    }

    /// A layer that masks nothing until it is told what: [`MaskLayer::requests`],
    /// [`MaskLayer::responses`].
    pub fn new(masker: Masker) -> Self {
        Self::with(Choose::Always {
            masker,
            requests: false,
            responses: false,
        })
    }

    /// A layer that asks for every request what is to be done.
    pub fn choosing(choose: impl ChooseWire) -> Self {
        Self::with(Choose::By(Arc::new(choose)))
    }

    fn with(choose: Choose) -> Self {
        let settings = Settings {
            choose,
            max_body: MAX_BODY,
        };
        Self {
            settings: Arc::new(settings),
        }
    }

    /// Whether requests are masked with the one masker.
    pub fn requests(mut self, masked: bool) -> Self {
        if let Choose::Always { requests, .. } = &mut Arc::make_mut(&mut self.settings).choose {
            *requests = masked;
        }
        self
    }

    /// Whether responses are masked with the one masker.
    pub fn responses(mut self, masked: bool) -> Self {
        if let Choose::Always { responses, .. } = &mut Arc::make_mut(&mut self.settings).choose {
            *responses = masked;
        }
        self
    }

    /// The largest body that is held, in bytes. 32 MiB unless told.
    pub fn max_body(mut self, bytes: usize) -> Self {
        Arc::make_mut(&mut self.settings).max_body = bytes;
        self
    }
}

impl Settings {
    fn wire(&self, extensions: &http::Extensions) -> Wire {
        match &self.choose {
            Choose::By(choose) => choose.choose(extensions),
            Choose::Always {
                masker,
                requests,
                responses,
            } => Wire {
                requests: requests.then(|| masker.clone()),
                scanned: true,
                responses: responses.then(|| masker.clone()),
                restore: None,
            },
        }
    }
}

/// The content type, as far as it is readable: what is behind that decides nothing.
fn content_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::CONTENT_TYPE)?.as_bytes();
    let is_readable = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t');
    let end = value.iter().position(|byte| !is_readable(byte));
    str::from_utf8(&value[..end.unwrap_or(value.len())]).ok()
}

fn is_encoded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

impl<S> Layer<S> for MaskLayer {
    type Service = Mask<S>;

    fn layer(&self, inner: S) -> Mask<S> {
        Mask::new(inner, Arc::clone(&self.settings))
    }
}

impl fmt::Debug for MaskLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaskLayer")
            .field("max_body", &self.max_body)
            .finish_non_exhaustive()
    }
}
