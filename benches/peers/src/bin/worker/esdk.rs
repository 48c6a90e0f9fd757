//! The AWS Encryption SDK: a raw AES-256-GCM keyring, suite 0x0478 (it commits, it does not sign), two pairs of context.

use std::collections::HashMap;

use anyhow::{Context as _, Result, anyhow};
use aws_esdk::client::Client;
use aws_esdk::material_providers::client::Client as Providers;
use aws_esdk::material_providers::types::material_providers_config::MaterialProvidersConfig;
use aws_esdk::material_providers::types::{
    AesWrappingAlg, EsdkAlgorithmSuiteId, keyring::KeyringRef,
};
use aws_esdk::types::aws_encryption_sdk_config::AwsEncryptionSdkConfig;
use tokio::runtime::Runtime;

use crate::Contestant;

pub(crate) struct Esdk {
    runtime: Runtime,
    client: Client,
    keyring: KeyringRef,
    context: HashMap<String, String>,
}

impl Esdk {
    pub(crate) fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let client = Client::from_conf(AwsEncryptionSdkConfig::builder().build()?)
            .map_err(|error| anyhow!("{error:?}"))?;
        let providers = Providers::from_conf(MaterialProvidersConfig::builder().build()?)
            .map_err(|error| anyhow!("{error:?}"))?;
        let keyring = providers
            .create_raw_aes_keyring()
            .key_name("bench")
            .key_namespace("phi-envelope-peers")
            .wrapping_key(vec![7; 32])
            .wrapping_alg(AesWrappingAlg::AlgAes256GcmIv12Tag16);
        let keyring = runtime
            .block_on(keyring.send())
            .map_err(|error| anyhow!("{error:?}"))?;
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        Ok(Self {
            runtime,
            client,
            keyring,
            context: HashMap::from([pair("table", "observations"), pair("patient", "MRN-0042")]),
        })
    }
}

impl Contestant for Esdk {
    fn seal(&self, plaintext: &[u8]) -> Result<Vec<u8>> {
        let call = self
            .client
            .encrypt()
            .plaintext(plaintext)
            .keyring(self.keyring.clone())
            .encryption_context(self.context.clone())
            .algorithm_suite_id(EsdkAlgorithmSuiteId::AlgAes256GcmHkdfSha512CommitKey);
        let sealed = self
            .runtime
            .block_on(call.send())
            .map_err(|error| anyhow!("{error:?}"))?;
        Ok(sealed.ciphertext.context("a ciphertext")?.into_inner())
    }

    fn open(&self, sealed: &[u8], take: &mut dyn FnMut(&[u8])) -> Result<()> {
        let call = self
            .client
            .decrypt()
            .ciphertext(sealed)
            .keyring(self.keyring.clone())
            .encryption_context(self.context.clone());
        let opened = self
            .runtime
            .block_on(call.send())
            .map_err(|error| anyhow!("{error:?}"))?;
        take(opened.plaintext.context("a plaintext")?.as_ref());
        Ok(())
    }
}
