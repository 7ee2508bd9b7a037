//! Masking on the wire, as a tower layer.

mod body;
mod service;

use std::sync::Arc;

use tower_layer::Layer;

pub use self::{body::ResponseBody, service::Mask};
use crate::Masker;

/// The largest body that is held to be masked.
const MAX_BODY: usize = 32 << 20;

/// Masks what goes over the wire: requests before they go on, responses before they come back.
///
/// Changing bodies has a price: prompt caches that were filled with the original miss, and thinking
/// blocks that were signed are refused when they come back changed. So the layer does nothing
/// unless it is told to, and a layer that does nothing says so: [`MaskLayer::off`].
///
/// Put it behind the layer that scans requests, whose [`Findings`](tollbook_exchange::Findings) it
/// uses, and before the one that forwards. Without findings it scans by itself.
#[derive(Clone, Debug)]
#[must_use]
pub struct MaskLayer {
    settings: Arc<Settings>,
}

#[derive(Clone, Debug)]
struct Settings {
    masker: Masker,
    requests: bool,
    responses: bool,
    max_body: usize,
}

impl MaskLayer {
    /// A layer that lets everything pass as it is.
    pub fn off() -> Self {
        Self::new(Masker::none())
    }

    /// A layer that masks nothing until it is told what: [`MaskLayer::requests`],
    /// [`MaskLayer::responses`].
    pub fn new(masker: Masker) -> Self {
        let settings = Settings {
            masker,
            requests: false,
            responses: false,
            max_body: MAX_BODY,
        };
        Self {
            settings: Arc::new(settings),
        }
    }

    /// Whether requests are masked.
    pub fn requests(mut self, masked: bool) -> Self {
        Arc::make_mut(&mut self.settings).requests = masked;
        self
    }

    /// Whether responses are masked.
    pub fn responses(mut self, masked: bool) -> Self {
        Arc::make_mut(&mut self.settings).responses = masked;
        self
    }

    /// The largest body that is held, in bytes. 32 MiB unless told.
    pub fn max_body(mut self, bytes: usize) -> Self {
        Arc::make_mut(&mut self.settings).max_body = bytes;
        self
    }
}

impl<S> Layer<S> for MaskLayer {
    type Service = Mask<S>;

    fn layer(&self, inner: S) -> Mask<S> {
        Mask::new(inner, Arc::clone(&self.settings))
    }
}
