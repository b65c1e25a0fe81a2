//! Profile of AWS: keys, region and endpoint of the files that `aws configure` writes.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::upload::store::StoreError;

/// What a profile says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AwsProfile {
    values: BTreeMap<String, String>,
}

/// What only the tool of AWS can turn into keys.
const NEEDS_THE_TOOL: [&str; 4] =
    ["sso_session", "sso_start_url", "credential_process", "role_arn"];

/// Key, secret and session token.
pub type Keys<'a> = (&'a str, &'a str, Option<&'a str>);

impl AwsProfile {
    /// The profile that `AWS_PROFILE` names, or the default one; one that is named and not there is an error.
    ///
    /// # Errors
    /// With the name of the profile.
    pub fn read(environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, StoreError> {
        let named = environment("AWS_PROFILE").or_else(|| environment("AWS_DEFAULT_PROFILE"));
        let name = named.as_deref().unwrap_or("default");
        let file = |variable: &str, usual: &str| {
            let home = || environment("HOME").map(|home| PathBuf::from(home).join(usual));
            let path = environment(variable).map(PathBuf::from).or_else(home)?;
            fs::read_to_string(path).ok()
        };
        let credentials = file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials");
        let config = file("AWS_CONFIG_FILE", ".aws/config");
        let mut values = BTreeMap::new();
        let mut is_there = false;
        // Keys of the credentials go before those of the configuration.
        for (text, section) in [(config, format!("profile {name}")), (credentials, name.to_owned())]
        {
            let text = text.unwrap_or_default();
            for found in [section.as_str(), name] {
                let own = section_of(&text, found);
                is_there |= own.is_some();
                values.extend(own.unwrap_or_default());
            }
        }
        match named {
            Some(name) if !is_there => Err(StoreError::Setting(format!(
                "`AWS_PROFILE` names the profile `{name}`, which neither `~/.aws/credentials` nor `~/.aws/config` has"
            ))),
            _ => Ok(Self { values }),
        }
    }

    /// Value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// Key, secret and session token, where they stand there.
    ///
    /// # Errors
    /// Where the profile leads to keys on a way that only AWS's own tool goes.
    pub fn keys(&self) -> Result<Option<Keys<'_>>, StoreError> {
        let secret = self.get("aws_secret_access_key");
        if let Some((key, secret)) = self.get("aws_access_key_id").zip(secret) {
            return Ok(Some((key, secret, self.get("aws_session_token"))));
        }
        match NEEDS_THE_TOOL.into_iter().find(|key| self.get(key).is_some()) {
            None => Ok(None),
            Some(key) => Err(StoreError::Setting(format!(
                "the profile of AWS gets its keys by `{key}`, which only the tool `aws` can: run \
                 `eval \"$(aws configure export-credentials --format env)\"` first"
            ))),
        }
    }
}

/// Keys and values of a section of an INI file; nested values, which are indented, are left out.
fn section_of(text: &str, name: &str) -> Option<BTreeMap<String, String>> {
    let mut found = None;
    let mut is_own = false;
    for line in text.lines() {
        let bare = line.trim();
        if bare.starts_with(['#', ';']) || bare.is_empty() {
            continue;
        }
        if let Some(section) = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            is_own = section.split_whitespace().eq(name.split_whitespace());
            if is_own {
                found.get_or_insert_with(BTreeMap::new);
            }
        } else if is_own
            && !line.starts_with([' ', '\t'])
            && let (Some(values), Some((key, value))) = (&mut found, bare.split_once('='))
        {
            values.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: Option<&str>, credentials: &str, config: &str) -> Result<AwsProfile, String> {
        let home = tempfile::tempdir().expect("a folder");
        fs::create_dir(home.path().join(".aws")).expect("a folder");
        fs::write(home.path().join(".aws/credentials"), credentials).expect("written");
        fs::write(home.path().join(".aws/config"), config).expect("written");
        let home = home.path().display().to_string();
        let value = |variable: &str| match variable {
            "HOME" => Some(home.clone()),
            "AWS_PROFILE" => name.map(ToOwned::to_owned),
            _ => None,
        };
        AwsProfile::read(&value).map_err(|error| error.to_string())
    }

    const CREDENTIALS: &str = "[default]\naws_access_key_id = D\naws_secret_access_key=d=\n\n[lab]\naws_access_key_id=L\naws_secret_access_key=l\naws_session_token=t\n";
    const CONFIG: &str = "# mine\n[default]\nregion = eu-north-1\ns3 =\n  endpoint_url = no\n[profile lab]\nregion=us-west-2\nendpoint_url=http://minio:9000\n[profile sso]\nsso_session = x\n";

    #[test]
    fn keys_region_and_endpoint_are_those_of_the_named_profile() {
        let default = profile(None, CREDENTIALS, CONFIG).expect("a profile");
        assert_eq!(default.keys(), Ok(Some(("D", "d=", None))));
        assert_eq!(
            (default.get("region"), default.get("endpoint_url")),
            (Some("eu-north-1"), None)
        );
        let lab = profile(Some("lab"), CREDENTIALS, CONFIG).expect("a profile");
        assert_eq!(lab.keys(), Ok(Some(("L", "l", Some("t")))));
        assert_eq!(lab.get("endpoint_url"), Some("http://minio:9000"));
    }

    #[test]
    fn a_profile_that_is_not_there_or_needs_the_tool_is_named() {
        let error = profile(Some("x"), CREDENTIALS, CONFIG).expect_err("not there");
        assert!(error.contains("`x`"), "{error}");
        let sso = profile(Some("sso"), CREDENTIALS, CONFIG).expect("a profile");
        let error = sso.keys().expect_err("no keys").to_string();
        assert!(error.contains("export-credentials"), "{error}");
        assert_eq!(profile(None, "", "").expect("none").keys(), Ok(None));
    }
}
