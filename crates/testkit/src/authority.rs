//! A time-stamping authority (RFC 3161) that `openssl ts` is, over the files in a folder.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

/// An authority in a folder: `root.pem` is the certificate to trust, `stamper.pem` that of the one who
/// signs for it.
#[derive(Clone, Debug)]
pub struct Authority(PathBuf);

impl Authority {
    /// Makes one in this folder, with keys of the P-256 curve.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made, or openssl does not do it.
    pub fn new(folder: &Path) -> io::Result<Self> {
        let p256 = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";
        Self::with(folder, p256, "sha256", "")
    }

    /// Makes one with keys as these arguments of `openssl genpkey` say, which signs with this digest, and
    /// with more lines of configuration.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub fn with(folder: &Path, key: &str, digest: &str, more: &str) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let config = CONFIG.replace("DIGEST", digest).replace("MORE", more);
        fs::write(folder.join("config"), config)?;
        fs::write(folder.join("serial"), "01\n")?;
        let authority = Self(folder.to_owned());
        for name in ["root", "stamper"] {
            authority.key(name, key)?;
        }
        authority.run(
            "req -new -x509 -key root.key -out root.pem -config config -extensions root -days 30 \
             -sha256 -subj /CN=root",
        )?;
        authority.sign("root", "stamper", "stamper")?;
        Ok(authority)
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes a key of this name.
    ///
    /// # Errors
    ///
    /// When openssl does not.
    pub fn key(&self, name: &str, key: &str) -> io::Result<()> {
        self.run(&format!("genpkey -out {name}.key {key}"))
    }

    /// Makes a certificate of `issuer` for the key `name`, for this purpose: `root`, `stamper`, `server`,
    /// `middle` or `elsewhere`.
    ///
    /// # Errors
    ///
    /// When openssl does not.
    pub fn sign(&self, issuer: &str, name: &str, purpose: &str) -> io::Result<()> {
        self.run(&format!(
            "req -new -key {name}.key -out {name}.csr -config config -subj /CN={name}"
        ))?;
        self.run(&format!(
            "x509 -req -in {name}.csr -CA {issuer}.pem -CAkey {issuer}.key -set_serial 7 \
             -out {name}.pem -extfile config -extensions {purpose} -days 30 -sha384"
        ))
    }

    /// The answer to a query.
    ///
    /// # Errors
    ///
    /// When openssl gives none.
    pub fn answer(&self, query: &[u8]) -> io::Result<Vec<u8>> {
        fs::write(self.0.join("query"), query)?;
        self.run("ts -reply -config config -queryfile query -out answer")?;
        fs::read(self.0.join("answer"))
    }

    /// Answers queries over HTTP until the process ends. Returns the address to send them to.
    ///
    /// # Errors
    ///
    /// When there is no port for it.
    pub fn serve(&self) -> io::Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = format!("http://{}/tsa", listener.local_addr()?);
        let authority = self.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that breaks off concerns nobody but the client.
                let _broken_off = authority.serve_one(BufReader::new(stream));
            }
        });
        Ok(address)
    }

    fn serve_one(&self, mut stream: BufReader<std::net::TcpStream>) -> io::Result<()> {
        let (mut length, mut line) = (0, String::new());
        while stream.read_line(&mut line)? > 2 {
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            line.clear();
        }
        let mut query = vec![0; length];
        stream.read_exact(&mut query)?;
        let answer = self.answer(&query)?;
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            answer.len()
        );
        stream.get_mut().write_all(head.as_bytes())?;
        stream.get_mut().write_all(&answer)
    }

    fn run(&self, line: &str) -> io::Result<()> {
        openssl(&self.0, line)
    }
}

/// Runs openssl in a folder, with arguments that have no spaces in them.
///
/// # Errors
///
/// What openssl says when it fails.
pub fn openssl(folder: &Path, line: &str) -> io::Result<()> {
    let done = Command::new("openssl")
        .args(line.split_whitespace())
        .current_dir(folder)
        .output()?;
    match done.status.success() {
        true => Ok(()),
        false => {
            let why = String::from_utf8_lossy(&done.stderr);
            Err(io::Error::other(format!("openssl {line}: {why}")))
        }
    }
}

const CONFIG: &str = "
[req]
distinguished_name = name
prompt = no
[name]
CN = a name
[root]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign
subjectKeyIdentifier = hash
[stamper]
basicConstraints = critical,CA:false
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[server]
basicConstraints = critical,CA:false
extendedKeyUsage = serverAuth
[middle]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign
[elsewhere]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign
extendedKeyUsage = serverAuth
[tsa]
default_tsa = it
[it]
serial = ./serial
signer_cert = ./stamper.pem
signer_key = ./stamper.key
certs = ./root.pem
signer_digest = DIGEST
default_policy = 1.2.3.4.1
digests = sha256, sha512
accuracy = secs:1
ordering = yes
tsa_name = yes
ess_cert_id_chain = no
MORE
";
