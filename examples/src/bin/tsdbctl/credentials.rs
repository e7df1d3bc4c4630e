//! `tsdbctl credentials`: tokens and hashes for a credentials file, and the file checked.

use clap::Subcommand;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use tsdb_server::{check_credentials, hash_password, hash_token, new_token};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Subcommand)]
pub(crate) enum CredentialsCommand {
    /// Make a new token, and the hash of it that the file holds
    Token,
    /// Read a token, one line, from the standard input and write the hash of it that the file holds
    HashToken,
    /// Read a password, one line, from the standard input and write the hash of it that the file holds
    HashPassword,
    /// Check a credentials file
    Check {
        /// The file
        file: PathBuf,
    },
}

/// Does what is asked; whether all is well.
pub(crate) fn run(command: &CredentialsCommand, out: &mut impl Write) -> Result<bool, Failure> {
    match command {
        CredentialsCommand::Token => {
            let token = new_token()?;
            writeln!(out, "# Shown only now; callers send it as: Authorization: Bearer {token}")?;
            writeln!(out, "token_sha256 = \"{}\"", hash_token(&token)?)?;
        }
        CredentialsCommand::HashToken => writeln!(out, "token_sha256 = \"{}\"", hash_token(&line()?)?)?,
        CredentialsCommand::HashPassword => {
            writeln!(out, "password_argon2id = \"{}\"", hash_password(&line()?)?)?;
        }
        CredentialsCommand::Check { file } => match check_credentials(file) {
            Ok(count) => writeln!(out, "{count} credentials")?,
            Err(error) => {
                writeln!(out, "{}: {error}", file.display())?;
                return Ok(false);
            }
        },
    }
    Ok(true)
}

/// A line of the standard input. Secrets do not come as arguments, which all users of a machine can see.
fn line() -> Result<String, Failure> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
