//! What the path in a command stands for.

/// What would be hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The whole machine, a folder that it needs, or somebody's home.
    Machine,
    /// Everything in the folder where one is, or the one above.
    Here,
    /// Anything else.
    Other,
}

impl Target {
    /// What a word of a command stands for.
    pub(crate) fn of(word: &str) -> Self {
        // In prose, a sentence goes on behind the command.
        let word = word.trim_end_matches([',', ':', '!', '?']);
        if matches!(
            word,
            "." | "./" | "./*" | "*" | ".*" | ".." | "../" | "../*" | "$PWD" | "${PWD}"
        ) || word.starts_with("../..") && word.trim_matches(['.', '/', '*']).is_empty()
        {
            return Self::Here;
        }
        if let Some(rest) = HOMES.iter().find_map(|home| word.strip_prefix(home)) {
            return match rest {
                "" => Self::Machine,
                rest if rest.starts_with(['/', '\\']) && is_all(rest) => Self::Machine,
                _ => Self::Other,
            };
        }
        if let [drive, b':', rest @ ..] = word.as_bytes()
            && drive.is_ascii_alphabetic()
        {
            let rest = rest.iter().filter(|byte| !b"\\/*.".contains(byte));
            let rest: Vec<u8> = rest.map(u8::to_ascii_lowercase).collect();
            let machine = matches!(&rest[..], b"" | b"windows" | b"users");
            return if machine { Self::Machine } else { Self::Other };
        }
        match word.strip_prefix('/') {
            Some(path) => Self::of_absolute(path),
            None => Self::Other,
        }
    }

    fn of_absolute(path: &str) -> Self {
        let mut parts: Vec<&str> = Vec::new();
        for part in path.split('/') {
            match part {
                "" | "." | "*" | ".*" | "{*,.*}" => {}
                ".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        let machine = match &parts[..] {
            [] => true,
            [only] => SYSTEM.contains(only),
            ["home" | "Users", _] => true,
            ["usr" | "var", inner] => INNER.contains(inner),
            _ => false,
        };
        if machine { Self::Machine } else { Self::Other }
    }
}

/// Whether a path behind a home means all of it.
fn is_all(rest: &str) -> bool {
    rest.trim_matches(['/', '\\', '*', '.']).is_empty()
}

const HOMES: [&str; 6] = [
    "~",
    "${HOME}",
    "$HOME",
    "$env:USERPROFILE",
    "%USERPROFILE%",
    "$Home",
];

/// Folders right under the root that a machine does not do without (FHS 3.0, and macOS).
const SYSTEM: [&str; 26] = [
    "bin",
    "boot",
    "c",
    "dev",
    "etc",
    "home",
    "lib",
    "lib64",
    "opt",
    "proc",
    "root",
    "run",
    "sbin",
    "srv",
    "sys",
    "usr",
    "var",
    "Applications",
    "Library",
    "System",
    "Users",
    "Volumes",
    "private",
    "mnt",
    "media",
    "data",
];

const INNER: [&str; 7] = ["bin", "lib", "lib64", "local", "log", "sbin", "share"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_apart() {
        for (expected, words) in [
            (
                Target::Machine,
                &[
                    "/",
                    "/*",
                    "//",
                    "/.",
                    "/./",
                    "/tmp/..",
                    "/tmp/../*",
                    "~",
                    "~/",
                    "~/*",
                    "$HOME",
                    "${HOME}/",
                    "/etc",
                    "/etc/",
                    "/etc/*",
                    "/usr/lib",
                    "/home/ann",
                    "/home/ann/*",
                    "C:\\",
                    "c:/*",
                    "C:\\Windows",
                    "/,",
                    "~/.*",
                    "/c/",
                ][..],
            ),
            (
                Target::Here,
                &[".", "./", "*", "./*", "..", "../..", "../../*", "$PWD"],
            ),
            (
                Target::Other,
                &[
                    "./build",
                    "node_modules",
                    "/tmp",
                    "/tmp/x",
                    "/home/ann/src/target",
                    "~/x",
                    "$HOME/.cache/x",
                    "/var/lib/app",
                    "../x",
                    "~ann",
                    "/usr/local/app",
                    "*.o",
                    "/workspace",
                    "C:\\work",
                    "",
                ],
            ),
        ] {
            for word in words {
                assert_eq!(Target::of(word), expected, "{word}");
            }
        }
    }
}
