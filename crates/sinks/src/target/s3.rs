//! Object stores that speak S3.

use std::{fmt, io::Write};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use flate2::{Compression, GzBuilder};
use object_store::{
    Attribute, Attributes, Certificate, ClientOptions, Error as StoreError, GetOptions,
    ObjectStore, PutMode, PutOptions, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    path::Path,
};
use zeroize::Zeroizing;

use super::address::{Address, Trust};
use crate::{BoxFuture, Deliver, Delivery, Error, ErrorKind, Failure};

/// Writes each batch as an object that is created and never changed:
/// `prefix/origin/2026-01-31/09/first-last.jsonl.gz`, by the hour (UTC) in which its records ended.
///
/// An object is created only where there is none (`If-None-Match: *`), so that nobody's object is
/// written over; one that has the same digest is the same batch, written before a crash. Where
/// another one is in the way, such as one in another format, the digest goes into the name.
pub struct S3Target {
    store: AmazonS3,
    prefix: String,
    bucket: String,
}

/// An access key. Its `Debug` prints no secret.
#[derive(Clone)]
pub struct S3Keys {
    /// Its id.
    pub id: Zeroizing<String>,
    /// Its secret.
    pub secret: Zeroizing<String>,
}

/// What an object says of itself: the digest of its bytes, in hexadecimal.
const DIGEST: &str = "tollbook-sha256";

impl S3Target {
    /// A bucket in a region of AWS, or of another store at `endpoint`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Target`].
    pub fn new(
        bucket: &str,
        prefix: &str,
        region: &str,
        endpoint: Option<&str>,
        keys: &S3Keys,
        trust: &Trust,
    ) -> Result<Self, Error> {
        let wrong = |why| Error::from(ErrorKind::Target(why));
        if bucket.is_empty() || bucket.contains('/') {
            return Err(wrong("the bucket has no name"));
        }
        let mut client = ClientOptions::new();
        let mut store = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(region)
            .with_access_key_id(keys.id.as_str())
            .with_secret_access_key(keys.secret.as_str())
            // The worker tries again, by its own clock.
            .with_retry(RetryConfig {
                max_retries: 0,
                ..RetryConfig::default()
            });
        if let Some(endpoint) = endpoint {
            let address = Address::parse(endpoint, ["https", "http"], trust)?;
            store = store.with_endpoint(endpoint.trim_end_matches('/'));
            client = client.with_allow_http(address.is_plain("https"));
        }
        if let Some(pem) = trust.pem()? {
            let why = ErrorKind::Target("the CA certificates cannot be used");
            let authorities =
                Certificate::from_pem_bundle(&pem).map_err(|error| Error::because(why, error))?;
            for authority in authorities {
                client = client.with_root_certificate(authority);
            }
        }
        let built = store.with_client_options(client).build();
        Ok(Self {
            // Its error may quote what it was given.
            store: built.map_err(|_| wrong("the store cannot be set up"))?,
            prefix: prefix.trim_matches('/').to_owned(),
            bucket: bucket.to_owned(),
        })
    }

    async fn put(&self, delivery: &Delivery) -> Result<(), Failure> {
        let (bytes, ending) = packed(delivery).ok_or(Failure::again("it cannot be compressed"))?;
        let sum = hexadecimal(digest(&SHA256, &bytes).as_ref());
        let path = path(&self.prefix, delivery, "", ending);
        match self.create(&path, &bytes, &sum, delivery).await {
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {}
            created => return created.map_err(|error| judged(&error)),
        }
        let options = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        let there = self.store.get_opts(&path, options).await;
        let there = there.map_err(|error| judged(&error))?;
        let known = there.attributes.get(&Attribute::Metadata(DIGEST.into()));
        if known.is_some_and(|known| known.as_ref() == sum) {
            return Ok(());
        }
        let path = self::path(&self.prefix, delivery, &format!("-{}", &sum[..16]), ending);
        match self.create(&path, &bytes, &sum, delivery).await {
            // Only the same bytes have this name.
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => Ok(()),
            created => created.map_err(|error| judged(&error)),
        }
    }

    async fn create(
        &self,
        path: &Path,
        bytes: &Bytes,
        sum: &str,
        delivery: &Delivery,
    ) -> Result<(), StoreError> {
        let gzip = delivery.format != "parquet";
        let kind = if gzip {
            "application/gzip"
        } else {
            delivery.media_type
        };
        let options = PutOptions {
            mode: PutMode::Create,
            attributes: Attributes::from_iter([
                (Attribute::ContentType, kind.to_owned()),
                (Attribute::Metadata(DIGEST.into()), sum.to_owned()),
            ]),
            ..PutOptions::default()
        };
        self.store
            .put_opts(path, bytes.clone().into(), options)
            .await?;
        Ok(())
    }
}

impl Deliver for S3Target {
    fn kind(&self) -> &'static str {
        "s3"
    }

    fn by_hour(&self) -> bool {
        true
    }

    fn deliver<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(self.put(delivery))
    }
}

/// Where a batch goes. Indexes have all their digits, so that names sort as records do.
fn path(prefix: &str, delivery: &Delivery, mark: &str, ending: &str) -> Path {
    let ended = delivery.ended.to_string();
    // RFC 3339: 2026-01-31T09:…
    let (day, hour) = (
        ended.get(..10).unwrap_or("none"),
        ended.get(11..13).unwrap_or("none"),
    );
    let (first, last) = (delivery.first, delivery.last);
    let name = format!("{first:020}-{last:020}{mark}.{ending}");
    Path::from(format!("{prefix}/{}/{day}/{hour}/{name}", delivery.origin))
}

/// The bytes of the object, the same each time, and how its name ends.
fn packed(delivery: &Delivery) -> Option<(Bytes, &'static str)> {
    let ending = match delivery.format {
        "parquet" => return Some((delivery.bytes.clone(), "parquet")),
        "csv" => "csv.gz",
        "ocsf" => "ocsf.jsonl.gz",
        "otlp" => "otlp.jsonl.gz",
        _ => "jsonl.gz",
    };
    let mut packed = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::default());
    packed.write_all(&delivery.bytes).ok()?;
    Some((packed.finish().ok()?.into(), ending))
}

/// None of them speaks of a record: what a store does not take today, it may take tomorrow.
fn judged(error: &StoreError) -> Failure {
    Failure::again(match error {
        StoreError::NotFound { .. } => "there is no such bucket",
        StoreError::PermissionDenied { .. } => "the key may not write there",
        StoreError::Unauthenticated { .. } => "the store does not take the key",
        StoreError::NotImplemented { .. } | StoreError::NotSupported { .. } => {
            "the store cannot create objects only where there are none"
        }
        _ => "the store did not take it",
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Debug for S3Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Target")
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for S3Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Keys").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tollbook_exchange::Timestamp;

    use super::*;

    #[test]
    fn a_batch_has_one_place_and_the_same_bytes_each_time() {
        let delivery = Delivery {
            sink: "store".to_owned(),
            book: "00000000".to_owned(),
            origin: "audit.example/gw1".to_owned(),
            first: 7,
            last: 40,
            records: 9,
            ended: "2026-01-31T09:59:59Z".parse::<Timestamp>().unwrap(),
            bytes: Bytes::from_static(b"{}\n"),
            media_type: "application/x-ndjson",
            format: "jsonl",
        };
        let (bytes, ending) = packed(&delivery).unwrap();
        assert_eq!(
            path("book", &delivery, "", ending).as_ref(),
            "book/audit.example/gw1/2026-01-31/09/\
             00000000000000000007-00000000000000000040.jsonl.gz"
        );
        assert_eq!(packed(&delivery).unwrap().0, bytes);
        let empty = path("", &delivery, "-ab", "parquet");
        assert!(empty.as_ref().starts_with("audit.example/"), "{empty}");
        assert!(empty.as_ref().ends_with("40-ab.parquet"), "{empty}");
    }
}
