//! Files, in memory.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use serde_json::{Value, json};

use super::{
    api::{list, not_found, time},
    multipart::{self, Upload},
    random::Random,
    reply::{Content, Refused, Reply},
};

/// How many files are remembered.
const KEEP: usize = 16;

/// The files, oldest first.
#[derive(Default)]
pub(super) struct Files(Mutex<VecDeque<File>>);

struct File {
    id: String,
    created: String,
    upload: Upload,
}

impl Files {
    pub(super) fn upload(
        &self,
        headers: &HeaderMap,
        body: &Bytes,
        ids: &mut Random,
    ) -> Result<Reply, Refused> {
        let content_type = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let Some(upload) = content_type.and_then(|kind| multipart::file(kind, body)) else {
            return Err(Refused::new(400, "file: Field required"));
        };
        let file = File {
            id: format!("file_011{}", ids.letters(21)),
            created: time(0),
            upload,
        };
        let reply = Reply::json(&file.describe());
        let mut files = self.lock();
        files.push_back(file);
        if files.len() > KEEP {
            files.pop_front();
        }
        Ok(reply)
    }

    pub(super) fn list(&self) -> Reply {
        Reply::json(&list(
            self.lock().iter().rev().map(File::describe).collect(),
        ))
    }

    pub(super) fn get(&self, id: &str) -> Result<Reply, Refused> {
        self.with(id, |file| Reply::json(&file.describe()))
    }

    pub(super) fn content(&self, id: &str) -> Result<Reply, Refused> {
        self.with(id, |file| {
            let content = Content::Whole(file.upload.content.clone());
            let mut reply = Reply::new("application/octet-stream", content);
            if let Ok(mime) = HeaderValue::from_str(&file.upload.mime) {
                reply.content_type = mime;
            }
            reply
        })
    }

    pub(super) fn delete(&self, id: &str) -> Result<Reply, Refused> {
        let mut files = self.lock();
        match files.iter().position(|file| file.id == id) {
            Some(at) => {
                files.remove(at);
                let deleted = json!({"id":id,"type":"file_deleted"});
                Ok(Reply::json(&deleted))
            }
            None => Err(not_found()),
        }
    }

    fn with(&self, id: &str, answer: impl FnOnce(&File) -> Reply) -> Result<Reply, Refused> {
        let files = self.lock();
        files
            .iter()
            .find(|file| file.id == id)
            .map(answer)
            .ok_or_else(not_found)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<File>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl File {
    fn describe(&self) -> Value {
        json!({
            "id": self.id,
            "type": "file",
            "filename": self.upload.name,
            "mime_type": self.upload.mime,
            "size_bytes": self.upload.content.len(),
            "created_at": self.created,
            "downloadable": true,
        })
    }
}
