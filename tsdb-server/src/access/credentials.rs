//! The credentials of a file, ready to be asked.
//!
//! The file is TOML, a table `[[credential]]` for each ([example](../../../docs/credentials.toml)). It is read field by
//! field, so that no message repeats a value: somebody may have put a secret where a hash belongs.

use super::grants::{Grants, TenantList};
use super::secret::{PasswordHash, SecretError, TokenHash};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::{Table, Value};
use tsdb_core::TenantId;
use tsdb_core::tenant::TenantIdError;

/// A name and what its holder may do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Credential {
    pub(crate) name: Arc<str>,
    pub(crate) grants: Arc<Grants>,
}

/// All credentials of a file.
#[derive(Debug, Default)]
pub(crate) struct Credentials {
    count: usize,
    tokens: HashMap<u16, Vec<(TokenHash, Arc<Credential>)>>,
    users: HashMap<String, (PasswordHash, Arc<Credential>)>,
    certificates: HashMap<String, Arc<Credential>>,
}

/// A credentials file that cannot be used. The text of an error holds no value of the file but names.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text is no TOML.
    #[error("line {line} is no TOML")]
    Syntax {
        /// The first line that cannot be read, from 1.
        line: usize,
    },
    /// The file has something besides `[[credential]]` tables.
    #[error("the file holds only [[credential]] tables, this one has {name:?}")]
    Foreign {
        /// What it has.
        name: String,
    },
    /// The file grants nothing to anybody.
    #[error("there is no credential in the file")]
    None,
    /// A credential is wrong.
    #[error("credential {credential}: {fault}")]
    Credential {
        /// Its name, or its number in the file.
        credential: String,
        /// What is wrong.
        fault: CredentialFault,
    },
}

/// What is wrong with a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialFault {
    /// A field that no credential has.
    #[error("there is no field {field:?}")]
    UnknownField {
        /// Its name.
        field: String,
    },
    /// A value of the wrong type.
    #[error("{field} must be {expected}")]
    Type {
        /// The field.
        field: &'static str,
        /// What its value must be.
        expected: &'static str,
    },
    /// A credential without a name, or with an empty one.
    #[error("it has no name")]
    NoName,
    /// Two credentials with one name, or for one user, token or certificate.
    #[error("{field} is that of another credential, too")]
    Repeated {
        /// The field.
        field: &'static str,
    },
    /// Nothing by which a holder could be known.
    #[error("it has no token_sha256, no user with password_argon2id and no certificate")]
    NoSecret,
    /// A user without a password, or the other way round.
    #[error("user and password_argon2id belong together")]
    HalfPassword,
    /// A secret that cannot be verified.
    #[error("{field}: {source}")]
    Secret {
        /// The field.
        field: &'static str,
        /// Why.
        source: SecretError,
    },
    /// An empty name of a certificate or user.
    #[error("{field} must not be empty")]
    Empty {
        /// The field.
        field: &'static str,
    },
    /// A tenant that cannot exist.
    #[error("{field}: {source}")]
    Tenant {
        /// The field.
        field: &'static str,
        /// Which rule it breaks.
        source: TenantIdError,
    },
}

const TENANTS: &str = "\"*\" or a list of tenants";

impl Credentials {
    /// Reads the file at `path`.
    pub(crate) fn load(path: &Path) -> Result<Self, CredentialsError> {
        let read = std::fs::read_to_string(path);
        Self::parse(&read.map_err(|source| CredentialsError::Read { path: path.to_owned(), source })?)
    }

    /// Reads the text of a file.
    pub(crate) fn parse(text: &str) -> Result<Self, CredentialsError> {
        let mut file: Table = text.parse().map_err(|error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            CredentialsError::Syntax { line: before.matches('\n').count().saturating_add(1) }
        })?;
        let list = match file.remove("credential") {
            Some(Value::Array(list)) => list,
            None => Vec::new(),
            Some(_) => return Err(CredentialsError::Foreign { name: "credential".to_owned() }),
        };
        if let Some(name) = file.keys().next() {
            return Err(CredentialsError::Foreign { name: name.clone() });
        }
        let mut credentials = Self::default();
        let mut names = BTreeSet::new();
        for (index, entry) in list.into_iter().enumerate() {
            let mut shown = format!("number {}", index.saturating_add(1));
            credentials
                .add(entry, &mut names, &mut shown)
                .map_err(|fault| CredentialsError::Credential { credential: shown, fault })?;
        }
        if credentials.count == 0 { Err(CredentialsError::None) } else { Ok(credentials) }
    }

    fn add(
        &mut self,
        entry: Value,
        names: &mut BTreeSet<String>,
        shown: &mut String,
    ) -> Result<(), CredentialFault> {
        let Value::Table(table) = entry else {
            return Err(CredentialFault::Type { field: "credential", expected: "a table" });
        };
        let mut fields = Fields { table };
        let name = fields.text("name")?.filter(|name| !name.is_empty()).ok_or(CredentialFault::NoName)?;
        *shown = format!("{name:?}");
        if !names.insert(name.clone()) {
            return Err(CredentialFault::Repeated { field: "name" });
        }
        let grants = fields.grants()?;
        let tokens = fields.texts("token_sha256")?;
        let (user, password) = (fields.text("user")?, fields.text("password_argon2id")?);
        let certificates = fields.texts("certificate")?;
        if let Some(field) = fields.table.keys().next() {
            return Err(CredentialFault::UnknownField { field: field.clone() });
        }
        if tokens.is_empty() && user.is_none() && password.is_none() && certificates.is_empty() {
            return Err(CredentialFault::NoSecret);
        }
        let credential = Arc::new(Credential { name: name.into(), grants: Arc::new(grants) });
        tokens.iter().try_for_each(|token| self.add_token(token, &credential))?;
        certificates.into_iter().try_for_each(|name| self.add_certificate(name, &credential))?;
        match (user, password) {
            (Some(user), Some(password)) => self.add_user(user, &password, &credential)?,
            (None, None) => {}
            _ => return Err(CredentialFault::HalfPassword),
        }
        self.count = self.count.saturating_add(1);
        Ok(())
    }

    fn add_token(&mut self, hash: &str, credential: &Arc<Credential>) -> Result<(), CredentialFault> {
        const FIELD: &str = "token_sha256";
        let hash =
            TokenHash::parse(hash).map_err(|source| CredentialFault::Secret { field: FIELD, source })?;
        let shelf = self.tokens.entry(hash.shelf()).or_default();
        if shelf.iter().any(|(other, _)| other.is(&hash)) {
            return Err(CredentialFault::Repeated { field: FIELD });
        }
        shelf.push((hash, Arc::clone(credential)));
        Ok(())
    }

    fn add_user(
        &mut self,
        user: String,
        hash: &str,
        credential: &Arc<Credential>,
    ) -> Result<(), CredentialFault> {
        if user.is_empty() {
            return Err(CredentialFault::Empty { field: "user" });
        }
        let secret = |source| CredentialFault::Secret { field: "password_argon2id", source };
        let hash = PasswordHash::parse(hash).map_err(secret)?;
        match self.users.insert(user, (hash, Arc::clone(credential))) {
            Some(_) => Err(CredentialFault::Repeated { field: "user" }),
            None => Ok(()),
        }
    }

    fn add_certificate(&mut self, name: String, credential: &Arc<Credential>) -> Result<(), CredentialFault> {
        if name.is_empty() {
            return Err(CredentialFault::Empty { field: "certificate" });
        }
        match self.certificates.insert(name, Arc::clone(credential)) {
            Some(_) => Err(CredentialFault::Repeated { field: "certificate" }),
            None => Ok(()),
        }
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    /// The credential with the token `presented`.
    pub(crate) fn of_token(&self, presented: &str) -> Option<&Arc<Credential>> {
        let hash = TokenHash::of(presented);
        let shelf = self.tokens.get(&hash.shelf())?;
        shelf.iter().find(|(known, _)| known.is(&hash)).map(|(_, credential)| credential)
    }

    /// The credential of `user`, and the hash of the password that must be presented.
    pub(crate) fn of_user(&self, user: &str) -> Option<&(PasswordHash, Arc<Credential>)> {
        self.users.get(user)
    }

    /// The credential of the holder of a verified certificate with these names: that of the first name which has one.
    pub(crate) fn of_certificate(&self, names: &[String]) -> Option<&Arc<Credential>> {
        names.iter().find_map(|name| self.certificates.get(name))
    }
}

/// The fields of a credential that are not read yet.
struct Fields {
    table: Table,
}

impl Fields {
    fn text(&mut self, field: &'static str) -> Result<Option<String>, CredentialFault> {
        match self.table.remove(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(CredentialFault::Type { field, expected: "a text" }),
        }
    }

    fn switch(&mut self, field: &'static str) -> Result<bool, CredentialFault> {
        match self.table.remove(field) {
            None => Ok(false),
            Some(Value::Boolean(on)) => Ok(on),
            Some(_) => Err(CredentialFault::Type { field, expected: "true or false" }),
        }
    }

    /// A text, or a list of them.
    fn texts(&mut self, field: &'static str) -> Result<Vec<String>, CredentialFault> {
        let expected = "a text or a list of texts";
        match self.table.remove(field) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text]),
            Some(Value::Array(list)) => list
                .into_iter()
                .map(|value| match value {
                    Value::String(text) => Ok(text),
                    _ => Err(CredentialFault::Type { field, expected }),
                })
                .collect(),
            Some(_) => Err(CredentialFault::Type { field, expected }),
        }
    }

    fn tenants(&mut self, field: &'static str) -> Result<TenantList, CredentialFault> {
        if let Some(Value::String(text)) = self.table.get(field) {
            let all = text == "*";
            self.table.remove(field);
            return if all {
                Ok(TenantList::All)
            } else {
                Err(CredentialFault::Type { field, expected: TENANTS })
            };
        }
        let names = self.texts(field)?;
        let tenants: Result<BTreeSet<_>, _> = names.iter().map(|name| TenantId::new(name)).collect();
        Ok(TenantList::Only(tenants.map_err(|source| CredentialFault::Tenant { field, source })?))
    }

    fn grants(&mut self) -> Result<Grants, CredentialFault> {
        Ok(Grants {
            read: self.tenants("read")?,
            write: self.tenants("write")?,
            administer: self.switch("administer")?,
            monitor: self.switch("monitor")?,
            across_tenants: self.switch("across_tenants")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::secret::{hash_password, hash_token};

    const TOKEN: &str = "a-token-of-some-length";

    #[test]
    fn each_way_to_prove_who_one_is_finds_its_credential() {
        let text = format!(
            "[[credential]]\nname = \"agent\"\nwrite = [\"a\"]\ntoken_sha256 = [\"{}\"]\n\
             [[credential]]\nname = \"grafana\"\nread = \"*\"\nacross_tenants = true\nuser = \"g\"\n\
             password_argon2id = \"{}\"\n\
             [[credential]]\nname = \"node\"\nadminister = true\ncertificate = \"CN=node,O=x\"\n",
            hash_token(TOKEN).unwrap(),
            hash_password("secret").unwrap()
        );
        let credentials = Credentials::parse(&text).unwrap();
        assert_eq!(credentials.len(), 3);
        let agent = credentials.of_token(TOKEN).unwrap();
        let a = TenantId::new("a").unwrap();
        assert!(
            agent.grants.write.contains(&a) && agent.grants.read.is_empty() && agent.name.as_ref() == "agent"
        );
        assert_eq!(agent.grants.write.single(), Some(&a));
        assert!(credentials.of_token("another-token-of-some-length").is_none());
        let (hash, grafana) = credentials.of_user("g").unwrap();
        assert!(hash.is_of("secret") && grafana.grants.across_tenants);
        assert_eq!(grafana.grants.read, TenantList::All);
        let names = ["dns:node".to_owned(), "CN=node,O=x".to_owned()];
        assert!(credentials.of_certificate(&names).unwrap().grants.administer);
        assert!(credentials.of_certificate(&["CN=other".to_owned()]).is_none());
    }

    #[test]
    fn the_example_of_the_documentation_is_understood() {
        let example = Credentials::parse(include_str!("../../../docs/credentials.toml")).unwrap();
        assert_eq!(example.len(), 5);
        assert_eq!(example.of_token("the-token-of-the-agents").unwrap().name.as_ref(), "agents of team a");
        assert!(example.of_user("grafana").unwrap().0.is_of("open sesame"));
        assert!(example.of_certificate(&["uri:spiffe://example/rules".to_owned()]).is_some());
    }

    #[test]
    fn mistakes_are_named_by_credential_and_field_and_no_value_is_repeated() {
        let hash = hash_token(TOKEN).unwrap();
        let entry = |fields: &str| format!("[[credential]]\nname = \"x\"\n{fields}");
        for (text, says) in [
            (String::new(), "no credential"),
            ("= hunter2".to_owned(), "line 1"),
            ("\n\nx = \"hunter2".to_owned(), "line 3"),
            ("password = \"hunter2\"".to_owned(), "password"),
            ("[[credential]]\ntoken_sha256 = \"hunter2\"".to_owned(), "number 1: it has no name"),
            (entry(""), "\"x\": it has no token_sha256"),
            (entry("token = \"hunter2\""), "no field \"token\""),
            (entry("token_sha256 = \"hunter2\""), "64 hexadecimal digits"),
            (entry("token_sha256 = \"\""), "empty"),
            (entry("token_sha256 = [\"hunter2\", 1]"), "token_sha256 must be"),
            (entry("user = \"u\""), "belong together"),
            (entry("user = \"u\"\npassword_argon2id = \"hunter2\""), "begins with $argon2id$"),
            (entry("user = \"u\"\npassword_argon2id = \"\""), "empty"),
            (entry("certificate = [\"\"]"), "certificate must not be empty"),
            (entry(&format!("token_sha256 = \"{hash}\"\nread = [\"../x\"]")), "letters, digits"),
            (entry(&format!("token_sha256 = \"{hash}\"\nread = \"team\"")), "\"*\" or a list"),
            (entry(&format!("token_sha256 = \"{hash}\"\nadminister = \"hunter2\"")), "true or false"),
            (entry(&format!("token_sha256 = [\"{hash}\", \"{hash}\"]")), "another credential"),
            (
                format!("{0}\n{0}", entry(&format!("certificate = \"y\"\ntoken_sha256 = \"{hash}\""))),
                "name is that of another",
            ),
        ] {
            let error = Credentials::parse(&text).unwrap_err().to_string();
            assert!(error.contains(says), "{text:?}: {error}");
            assert!(!error.contains("hunter2") && !error.contains(&hash), "{error}");
        }
    }
}
