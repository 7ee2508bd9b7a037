//! Building the sinks of a plan.

use tollbook_sinks::{
    Deliver, Format, Options, Sink,
    target::{
        FileTarget, NatsLogin, NatsTarget, OtlpHeader, OtlpTarget, Rotation, S3Keys, S3Target,
        Trust, WebhookSecret, WebhookTarget,
    },
};

use super::build::Builder;
use crate::config::{Config, SinkConfig, SinkTo, place};

impl Builder<'_> {
    /// Where copies of records go.
    pub(super) fn sinks(&mut self, config: &Config) -> Vec<Sink> {
        self.files_of_their_own(config);
        let sinks = config.sinks.iter();
        sinks
            .filter_map(|sink| {
                let options = self.sink_options(sink, config)?;
                match self.sink(sink, options)? {
                    Ok(sink) => Some(sink),
                    Err(why) => {
                        self.wrong(Some(sink.line), format!("sink: {why}"));
                        None
                    }
                }
            })
            .collect()
    }

    /// Two sinks that put one file aside would each lose what the other wrote.
    fn files_of_their_own(&mut self, config: &Config) {
        let mut known = Vec::new();
        for sink in &config.sinks {
            let Some(SinkTo::File { path, .. }) = &sink.to else {
                continue;
            };
            let place = place(path);
            if known.contains(&place) {
                let message = "`path`: another sink writes this file; each has one of its own";
                self.wrong(Some(sink.line), message);
            }
            known.push(place);
        }
    }

    fn sink_options(&mut self, sink: &SinkConfig, config: &Config) -> Option<Options> {
        let mut options = Options::default();
        let before = self.all.len();
        match &sink.format {
            Some(format) => match format.value.parse() {
                Ok(known) => options.format = known,
                Err(error) => self.wrong(format.line, format!("`format`: {error}")),
            },
            None if matches!(sink.to, Some(SinkTo::Otlp { .. })) => options.format = Format::Otlp,
            None => {}
        }
        if let Some(query) = &sink.query {
            match query.value.parse() {
                Ok(known) => options.query = known,
                Err(error) => self.wrong(query.line, format!("`query`: {error}")),
            }
            options.query_text.clone_from(&query.value);
        }
        for connection in &sink.connections {
            let known = |known: &str| known == connection.value;
            let own = ["(gate)", "(admin)"].into_iter();
            let all = config.connections.iter().map(|one| one.name.as_str());
            if !own.chain(all).any(known) {
                let message = format!("there is no connection `{}`", connection.value);
                self.wrong(connection.line, message);
            }
            options.connections.push(connection.value.clone());
        }
        options.contents = sink.contents;
        options.batch_records = sink.batch.unwrap_or(options.batch_records);
        options.batch_bytes = sink.batch_size.unwrap_or(options.batch_bytes);
        options.interval = sink.interval.unwrap_or(options.interval);
        options.timeout = sink.timeout.unwrap_or(options.timeout);
        options.tries = sink.tries.unwrap_or(options.tries);
        options.alarm_after = sink.alarm_after.unwrap_or(options.alarm_after);
        (self.all.len() == before).then_some(options)
    }

    fn sink(&mut self, sink: &SinkConfig, options: Options) -> Option<Result<Sink, String>> {
        let trust = Trust {
            ca_file: sink.ca_file.clone(),
            plain: sink.plain,
        };
        let named = Named {
            name: &sink.name,
            options,
        };
        Some(match sink.to.as_ref()? {
            SinkTo::File {
                path,
                rotate_size,
                rotate_daily,
            } => named.to(Ok(FileTarget::new(path).rotated(Rotation {
                bytes: rotate_size.map(|size| size as u64),
                daily: *rotate_daily,
            }))),
            SinkTo::Webhook { url, credential } => {
                named.to(self.secret(credential).and_then(|secret| {
                    let secret = WebhookSecret::parse(&secret).map_err(told)?;
                    WebhookTarget::new(url, secret, &trust).map_err(told)
                }))
            }
            SinkTo::Otlp {
                url,
                header,
                credential,
            } => {
                let value = credential.as_ref().map(|source| self.secret(source));
                named.to(value.transpose().and_then(|value| {
                    let header = value.map(|value| OtlpHeader::new(header, &value));
                    let header = header.transpose().map_err(told)?;
                    OtlpTarget::new(url, header, &trust).map_err(told)
                }))
            }
            SinkTo::S3 {
                bucket,
                prefix,
                region,
                url,
                access_key,
                credential,
            } => named.to(self.secret(credential).and_then(|secret| {
                let keys = S3Keys {
                    id: access_key.clone().into(),
                    secret,
                };
                S3Target::new(bucket, prefix, region, url.as_deref(), &keys, &trust).map_err(told)
            })),
            SinkTo::Nats {
                url,
                subject,
                user,
                credential,
            } => {
                let secret = credential.as_ref().map(|source| self.secret(source));
                named.to(secret.transpose().and_then(|secret| {
                    let login = match (user, secret) {
                        (Some(user), Some(word)) => NatsLogin::User(user.clone(), word),
                        (None, Some(token)) => NatsLogin::Token(token),
                        (None, None) => NatsLogin::None,
                        (Some(_), None) => {
                            return Err("`user` is given without a `credential`".to_owned());
                        }
                    };
                    NatsTarget::new(url, subject, login, &trust).map_err(told)
                }))
            }
        })
    }
}

struct Named<'a> {
    name: &'a str,
    options: Options,
}

impl Named<'_> {
    fn to(self, target: Result<impl Deliver, String>) -> Result<Sink, String> {
        Sink::new(self.name, target?, self.options).map_err(told)
    }
}

fn told(error: impl ToString) -> String {
    error.to_string()
}
