//! Stores with the settings and credentials that each cloud's own tools use.

use std::env;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::multipart::MultipartStore;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};

use super::aws_profile::AwsProfile;
use super::http::Connections;
use crate::settings::upload_place::{Storage, UploadPlace};
use crate::upload::Patience;
use crate::upload::store::StoreError;

/// A store under both of its interfaces.
pub struct Opened {
    pub objects: Arc<dyn ObjectStore>,
    pub parts: Arc<dyn MultipartStore>,
    /// What helps who may not.
    pub remedy: &'static str,
}

impl Opened {
    fn new<S: ObjectStore + MultipartStore>(store: S, remedy: &'static str) -> Self {
        let store = Arc::new(store);
        Self { objects: Arc::<S>::clone(&store), parts: store, remedy }
    }
}

const AWS: &str = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE), their right to s3:PutObject in this bucket, and \
     AWS_REGION; another server than Amazon's is named by AWS_ENDPOINT_URL";
const GOOGLE: &str = "name a service account's key in GOOGLE_APPLICATION_CREDENTIALS, or run `gcloud auth application-default login`, and \
     check its right to storage.objects.create in this bucket";
const AZURE: &str = "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY (or AZURE_STORAGE_SAS_TOKEN, or a service \
     principal's AZURE_CLIENT_ID, AZURE_CLIENT_SECRET and AZURE_TENANT_ID), and check the right to write blobs in this container";
const ORACLE: &str = "make a customer secret key in Oracle's console, set it as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name the \
     region in OCI_REGION, and check the right to write objects in this bucket";

/// Opens what a place names. Nothing is asked yet.
pub fn open(place: &UploadPlace, patience: Patience) -> Result<Opened, StoreError> {
    let retry = retry(patience);
    match &place.storage {
        Storage::S3 { bucket } => {
            let builder = amazon(&variable)?.with_bucket_name(bucket).with_retry(retry);
            Ok(Opened::new(builder.build().map_err(|error| unset(&error, AWS))?, AWS))
        }
        Storage::Oracle { bucket, namespace } => {
            let builder = oracle(namespace, &variable)?.with_bucket_name(bucket).with_retry(retry);
            Ok(Opened::new(builder.build().map_err(|error| unset(&error, ORACLE))?, ORACLE))
        }
        Storage::Google { bucket } => {
            let builder = GoogleCloudStorageBuilder::from_env()
                .with_bucket_name(bucket)
                .with_retry(retry)
                .with_http_connector(Connections::new(None));
            Ok(Opened::new(builder.build().map_err(|error| unset(&error, GOOGLE))?, GOOGLE))
        }
        Storage::Azure { container } => {
            let builder = MicrosoftAzureBuilder::from_env()
                .with_container_name(container)
                .with_retry(retry)
                .with_http_connector(Connections::new(None));
            Ok(Opened::new(builder.build().map_err(|error| unset(&error, AZURE))?, AZURE))
        }
        Storage::Folder(_) => Err(StoreError::Failed("a folder is no cloud".to_owned())),
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

fn unset(error: &object_store::Error, remedy: &str) -> StoreError {
    StoreError::Setting(format!("{error}: {remedy}"))
}

const ENDPOINTS: [&str; 3] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];

/// Environment first, then the profile, then what the machine itself is (web identity, container, instance).
fn amazon(variable: &dyn Fn(&str) -> Option<String>) -> Result<AmazonS3Builder, StoreError> {
    let profile = AwsProfile::read(variable)?;
    // Not every store that speaks S3 removes several objects in one call.
    let mut builder = AmazonS3Builder::from_env()
        .with_http_connector(Connections::new(variable("AWS_CA_BUNDLE")))
        .with_disable_bulk_delete(true);
    let set = |name: &str| variable(name).is_some();
    let is_given = set("AWS_ACCESS_KEY_ID") || set("AWS_WEB_IDENTITY_TOKEN_FILE");
    if !is_given && let Some((key, secret, token)) = profile.keys()? {
        builder = builder.with_access_key_id(key).with_secret_access_key(secret);
        if let Some(token) = token {
            builder = builder.with_token(token);
        }
    }
    if !set("AWS_REGION")
        && !set("AWS_DEFAULT_REGION")
        && let Some(region) = profile.get("region")
    {
        builder = builder.with_region(region);
    }
    let typed = ENDPOINTS.into_iter().find_map(variable);
    if typed.is_none()
        && let Some(endpoint) = profile.get("endpoint_url")
    {
        builder = builder.with_endpoint(endpoint);
    }
    // Whoever writes `http://` means it.
    let endpoint = typed.or_else(|| profile.get("endpoint_url").map(ToOwned::to_owned));
    let is_plain = endpoint.is_some_and(|url| url.starts_with("http://"));
    Ok(if is_plain { builder.with_allow_http(true) } else { builder })
}

/// Oracle's store speaks S3 at an address of the tenancy's namespace and the region.
fn oracle(
    namespace: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<AmazonS3Builder, StoreError> {
    let region = ["OCI_REGION", "OCI_CLI_REGION"].into_iter().find_map(variable);
    let builder = amazon(variable)?;
    let Some(region) = region else {
        return Err(StoreError::Setting(format!("the region is not known: {ORACLE}")));
    };
    let builder = builder.with_region(&region);
    if ENDPOINTS.into_iter().any(|name| variable(name).is_some()) {
        return Ok(builder);
    }
    let endpoint = format!("https://{namespace}.compat.objectstorage.{region}.oraclecloud.com");
    Ok(builder.with_endpoint(endpoint))
}

/// Answers of 429 and 5xx and broken connections are tried again, later and later.
fn retry(patience: Patience) -> RetryConfig {
    let (max_retries, seconds) = match patience {
        Patience::Short => (2, 20),
        Patience::Long => (6, 120),
    };
    let backoff = BackoffConfig { max_backoff: Duration::from_secs(5), ..BackoffConfig::default() };
    RetryConfig { backoff, max_retries, retry_timeout: Duration::from_secs(seconds) }
}

#[cfg(test)]
mod tests {
    use object_store::aws::AmazonS3ConfigKey as Key;

    use super::*;

    #[test]
    fn oracles_address_has_namespace_and_region() {
        let region = |name: &str| (name == "OCI_REGION").then(|| "eu-frankfurt-1".to_owned());
        let builder = oracle("ns", &region).expect("a region");
        let address = "https://ns.compat.objectstorage.eu-frankfurt-1.oraclecloud.com";
        assert_eq!(builder.get_config_value(&Key::Endpoint).as_deref(), Some(address));
        assert_eq!(builder.get_config_value(&Key::Region).as_deref(), Some("eu-frankfurt-1"));
        let error = oracle("ns", &|_| None).expect_err("no region").to_string();
        assert!(error.contains("OCI_REGION"), "{error}");
    }

    #[test]
    fn a_profile_gives_keys_and_address_where_the_environment_gives_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("credentials");
        let text =
            "[lab]\naws_access_key_id=K\naws_secret_access_key=S\nendpoint_url=http://m:9000\n";
        std::fs::write(&file, text).expect("written");
        let file = file.display().to_string();
        let own = |name: &str| match name {
            "AWS_PROFILE" => Some("lab".to_owned()),
            "AWS_SHARED_CREDENTIALS_FILE" => Some(file.clone()),
            _ => None,
        };
        let builder = amazon(&own).expect("a profile");
        assert_eq!(builder.get_config_value(&Key::AccessKeyId).as_deref(), Some("K"));
        assert_eq!(builder.get_config_value(&Key::Endpoint).as_deref(), Some("http://m:9000"));
    }
}
