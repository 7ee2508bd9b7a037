//! Finds secrets in text, JSON and event streams and masks them, the same for every chunking.
//!
//! An agent's requests and the answers to it are full of what should not be kept: keys in files it
//! read, passwords in commands it runs. [`Masker`] finds such secrets by rules and puts
//! `[REDACTED:rule]` in their place.
//!
//! ```
//! use tollbook_masking::Masker;
//!
//! let masker = Masker::builtin();
//! let scan = masker.mask(b"export AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE");
//! assert_eq!(
//!     scan.masked.as_inner().as_ref(),
//!     b"export AWS_ACCESS_KEY_ID=[REDACTED:aws-access-key-id]",
//! );
//!
//! // In pieces, the result is the same.
//! let (mut stream, mut out) = (masker.stream(), Vec::new());
//! for piece in ["export AWS_ACCESS_KEY_ID=AKIAIOS", "FODNN7EX", "AMPLE"] {
//!     stream.push(piece.as_bytes(), &mut out);
//! }
//! stream.finish(&mut out);
//! assert_eq!(&out, scan.masked.as_inner());
//! ```
//!
//! # What can be masked
//!
//! - a whole text: [`Masker::mask`]; a text in pieces: [`Masker::stream`],
//! - a JSON document, by its structure: [`Masker::json`],
//! - a body of an HTTP message as it comes, by its content type: [`view::BodyMasker`]; for the event
//!   streams of the Messages API it puts together what is spread over many events,
//! - the rows of a database's result: [`view::RowMasker`],
//! - everything that goes over a connection: [`MaskLayer`] (feature `tower`). Its place is behind
//!   the layer that scans requests and before the one that forwards; further out, the record would
//!   hold what the caller sent.
//!
//! # What is promised
//!
//! - The output does not depend on how the input was cut.
//! - No more than [`MaskStream::HOLD_BACK`] bytes of a text wait, and only while a match may have
//!   begun with them. In a stream of events, the event with them waits, and what comes behind it but
//!   for pings, so that an event in which nothing is masked passes as the bytes that came.
//! - What lies outside a match is not changed by a byte. What is masked is masked no further; but a
//!   value that was refused for what stood right behind it may be masked when that was.
//! - The work is linear in the input, whatever the input is.
//! - No matched text is in any error, finding or debug form.
//!
//! # What is not promised
//!
//! What stands right before a placeholder, such as `[REDACTED:jwt]`, may be taken for a part of what
//! was refused together with it, and pass; and a value that is written as one, in brackets, is taken
//! for one. Who writes placeholders around secrets can as well write the secrets backwards.
//!
//! A secret is not found that no rule describes, that is encoded in a way of its own (a word spelled
//! backwards, or see below), that is spread over two texts, or that stands in a JSON document held in a
//! string held in another one, more than three deep. Key material in source code whose lines are separate
//! string constants is masked in its first line only. Numbers with a fraction are not scanned.
//!
//! # What is encoded
//!
//! What rules find by a literal is also found in base64, in either alphabet and with anything before
//! it, and in hexadecimal, if the rule is for secrets, sure of them (`confidence`) and needs no
//! keywords, and if it is 16 bytes long or longer. So are private keys, also where base64 is broken
//! into lines; tokens across such a break are not, nor are values that are known by a name or by words
//! near them, and nothing is decoded twice. The letters that hold a bit of the secret are masked, and
//! what its end cannot be told of goes with it. Whatever the operator would keep of the value, it is
//! redacted: its letters depend on what stands beside it.
//!
//! ```
//! # use tollbook_masking::Masker;
//! let scan = Masker::builtin().mask(b"data: a2V5IEFLSUFJT1NGT0ROTjdFWEFNUExFLg==");
//! assert_eq!(scan.masked.as_inner().as_ref(), b"data: a2V5I[REDACTED:aws-access-key-id]Lg==");
//! ```
//!
//! # Rules
//!
//! Rules are data, in TOML, and [`MaskerBuilder::build`] refuses those that could not be kept: it
//! wants something to look for, bounds, and test vectors that it runs. It tells everything that is
//! wrong, by file and line, and then uses none of them. [`Masker::import_gitleaks`] turns rules of
//! others into such rules.
//!
//! ```
//! # use tollbook_masking::Masker;
//! let masker = Masker::builder()
//!     .builtin()
//!     .rules("house.toml", r#"
//!         [[rule]]
//!         id = "house-badge"
//!         description = "Number of a badge of our house"
//!         source = "https://wiki.example.com/badges"
//!         literals = ["badge-"]
//!         body = { class = "digit", min = 8, max = 8 }
//!         positive = ["my badge-12345678"]
//!         negative = ["my badge-123456789"]
//!     "#)
//!     .build()?;
//! let scan = masker.mask(b"badge-00000042");
//! assert_eq!(scan.masked.as_inner().as_ref(), b"[REDACTED:house-badge]");
//! # Ok::<(), tollbook_masking::BuildError>(())
//! ```
//!
//! A value that begins with nothing of its own is known by its form and by the words before it:
//!
//! ```
//! # use tollbook_masking::Masker;
//! let masker = Masker::builder()
//!     .rules("house.toml", r#"
//!         [[rule]]
//!         id = "house-visitor"
//!         description = "Number of a visitor of our house"
//!         source = "https://wiki.example.com/visitors"
//!         kind = "personal"
//!         tags = ["identity"]
//!         confidence = "medium"
//!         shape = "value"
//!         pattern = '[A-F][0-9]{3}(?:-[0-9]{4}){3}'
//!         keywords = ["visitor", "guest"]
//!         positive = ["Visitor: A123-1234-1234-1234"]
//!         negative = ["A123-1234-1234-1234", "visitor A123-1234-1234-12345"]
//!     "#)
//!     .build()?;
//! let scan = masker.mask(b"{ guestNo: 'B001-2020-3333-9876' }");
//! assert_eq!(scan.masked.as_inner().as_ref(), b"{ guestNo: '[REDACTED:house-visitor]' }");
//! # Ok::<(), tollbook_masking::BuildError>(())
//! ```
//!
//! | key | what it means |
//! |---|---|
//! | `id` | lower-case letters, digits, `-` and `.`; what stands in the placeholder |
//! | `description`, `source` | what it finds; where the format is described in public |
//! | `kind` | `secret` (unless told): what gives access. `personal`: what tells who somebody is |
//! | `tags` | words in lower case that profiles may choose it by. A rule with the tag `generic` gives way to one of another that finds all of the same value; one with `middle` has literals that values do not begin with, and finds nothing in what is encoded |
//! | `confidence` | `high` (unless told): nothing else looks the same, or a checksum tells. `medium`: little else does where it stands. `low`: other things do |
//! | `shape` | `token` (unless told): a literal and a body. `value`: what is known by its form, and by `keywords` if there are any. `assignment`: the value behind a key and `=` or `:`. `json-key`: the value of a JSON member. `userinfo`: the password in an address. `private-key`: the PEM form of one. `email`: an address of electronic mail |
//! | `literals` | what a token begins with, or the keys; keys are compared by their ends, without regard to case, `_`, `-` and `.` |
//! | `body` | `class`, `min` and `max`. Without `max`, a body goes on as long as its class does; it is judged by its first 112 bytes. With `max`, it ends there, and so does the word |
//! | `class` | `alnum`, `alnum_`, `any`, `bare`, `base64`, `base64url`, `digit`, `hex`, `lower_digit`, `path`, `quoted`, `token`, `upper_digit` |
//! | `pattern` | in place of `body`, for tokens (what is behind the literal), values, assignments and members (the whole value): an anchored regular expression over bytes, with ASCII classes, that matches at most 112 of them, without groups that capture, looks to the sides, `[` and `]`. The longest match counts that does not end within a word |
//! | `left` | for tokens and values: what must stand before, `boundary` (unless told), `any` or `digit`. A value with a `body` begins at a boundary with a letter, a digit or `_` |
//! | `apart` | for values: no `-`, `.`, `/` or `+` joins it to a letter or digit on either side |
//! | `keep` | for tokens: the literal stays, only the body is masked |
//! | `keywords` | for tokens and values: one of them must stand in the 64 bytes before, for values on the same line; in any case of letters, and one of up to four letters not within other letters, as `sin` is in `employeeSin` and not in `using` |
//! | `quotes` | for assignments: `either` (unless told), `required` or `absent` |
//! | `deep` | for members: whatever is in the value is masked, numbers too |
//! | `validate` | what the body must also be, all of them. How it looks: `entropy:BITS`, `contains:TEXT`, `not-placeholder`, `mixed`, `letter-and-digit`, `digit`, `not-prose`, `not-uuid`, `not-hex-digest`, `not-version`, `not-date`, `not-repeated`, `id-number`, `person-name`, `free-text`, `random`, `not-name`, `password`, `bare-password`, `bare-secret`, `three-kinds`, `jwt`, `basic-credentials`, `crc32-base62`, `date`, `birth-date`, `phone-in-address`. A checksum holds: `luhn`, `verhoeff`, `damm`, `mod97-10`, `mod37-36`, `mod11-10`, `mod11-2`. Payments: `card`, `iban`, `bic`, `aba`, `sort-code`, `clabe`, `cvv`. Networks and telephones: `ipv4`, `ipv4-unlike-version`, `ipv4-private`, `ipv6`, `mac`, `imei`, `phone-e164`, `phone-nanp`, `phone-national`. Coins: `base58check`, `bech32`, `ethereum`. Numbers of people and companies, by country: `us-ssn`, `us-ssn-any`, `us-itin`, `us-ein`, `us-npi`, `us-dea`, `us-mbi`, `ca-sin`, `br-cpf`, `br-cnpj`, `mx-curp`, `mx-rfc`, `cl-rut`, `ar-cuit`, `vin`, `in-aadhaar`, `in-aadhaar-like`, `in-pan`, `in-gstin`, `cn-resident-id`, `kr-rrn`, `jp-my-number`, `sg-nric`, `hk-id`, `tw-id`, `my-kad`, `th-id`, `au-tfn`, `au-abn`, `au-medicare`, `nz-ird`, `gb-nino`, `gb-nhs`, `gb-utr`, `gb-driving-licence`, `ie-pps`, `de-tax-id`, `de-id-card`, `fr-nir`, `fr-siren`, `fr-siret`, `it-codice-fiscale`, `it-partita-iva`, `es-dni`, `es-nie`, `pt-nif`, `nl-bsn`, `be-rrn`, `ch-ahv`, `at-svnr`, `pl-pesel`, `pl-nip`, `pl-regon`, `cz-birth-number`, `bg-egn`, `ro-cnp`, `hr-oib`, `gr-amka`, `gr-afm`, `tr-tckn`, `za-id`, `il-id`, `se-personnummer`, `no-fodselsnummer`, `dk-cpr`, `fi-hetu`, `ee-isikukood`, `lv-personas-kods`, `is-kennitala` |
//! | `positive`, `negative` | test vectors, at least one of each; a list of pieces is joined |

mod batch;
mod conceal;
mod engine;
mod find;
mod json;
#[cfg(feature = "tower")]
pub mod layer;
mod masker;
mod operator;
mod profile;
mod rules;
mod scratch;
mod stream;
pub mod vault;
pub mod view;

use tollbook_exchange::Masked;
pub use tollbook_exchange::Operator;

#[cfg(feature = "tower")]
pub use self::layer::MaskLayer;
pub use self::{
    engine::rule::{Confidence, Kind},
    find::{FindStream, Found},
    masker::{JsonScan, Masker, MaskerBuilder, Match, RuleInfo, Scan},
    operator::MaskKey,
    profile::{Base, OPERATORS, ProfileBuilder, ProfileError},
    rules::{BuildError, Imported, Kept, LeftOut, RuleCost, RuleError},
    stream::MaskStream,
};

/// The one place in which this crate says that something is masked.
#[expect(clippy::disallowed_methods, reason = "this is the masking engine")]
pub(crate) const fn masked<T>(value: T) -> Masked<T> {
    Masked::assume_masked(value)
}
