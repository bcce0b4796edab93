//! The protocols of KMS plugins and the stored envelope of version 2:
//! messages and method names, written by hand so that nobody needs a protobuf
//! compiler. Field numbers are the original's.

/// Version 2 of the protocol, and what version 2 stores.
#[allow(missing_docs, reason = "the names are those of the protocol")]
pub mod v2 {
    use std::collections::BTreeMap;

    use prost::Message;

    pub const SERVICE: &str = "v2.KeyManagementService";
    pub const STATUS: &str = "/v2.KeyManagementService/Status";
    pub const ENCRYPT: &str = "/v2.KeyManagementService/Encrypt";
    pub const DECRYPT: &str = "/v2.KeyManagementService/Decrypt";

    #[derive(Clone, PartialEq, Message)]
    pub struct StatusRequest {}

    #[derive(Clone, PartialEq, Message)]
    pub struct StatusResponse {
        #[prost(string, tag = "1")]
        pub version: String,
        #[prost(string, tag = "2")]
        pub healthz: String,
        #[prost(string, tag = "3")]
        pub key_id: String,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct DecryptRequest {
        #[prost(bytes = "vec", tag = "1")]
        pub ciphertext: Vec<u8>,
        #[prost(string, tag = "2")]
        pub uid: String,
        #[prost(string, tag = "3")]
        pub key_id: String,
        #[prost(btree_map = "string, bytes", tag = "4")]
        pub annotations: BTreeMap<String, Vec<u8>>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct DecryptResponse {
        #[prost(bytes = "vec", tag = "1")]
        pub plaintext: Vec<u8>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct EncryptRequest {
        #[prost(bytes = "vec", tag = "1")]
        pub plaintext: Vec<u8>,
        #[prost(string, tag = "2")]
        pub uid: String,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct EncryptResponse {
        #[prost(bytes = "vec", tag = "1")]
        pub ciphertext: Vec<u8>,
        #[prost(string, tag = "2")]
        pub key_id: String,
        #[prost(btree_map = "string, bytes", tag = "3")]
        pub annotations: BTreeMap<String, Vec<u8>>,
    }

    /// What stands behind the prefix of a stored value.
    #[derive(Clone, PartialEq, Message)]
    pub struct EncryptedObject {
        #[prost(bytes = "vec", tag = "1")]
        pub encrypted_data: Vec<u8>,
        #[prost(string, tag = "2")]
        pub key_id: String,
        #[prost(bytes = "vec", tag = "3")]
        pub encrypted_dek_source: Vec<u8>,
        #[prost(btree_map = "string, bytes", tag = "4")]
        pub annotations: BTreeMap<String, Vec<u8>>,
        #[prost(int32, tag = "5")]
        pub encrypted_dek_source_type: i32,
    }

    /// The source is an AES-GCM key.
    pub const SOURCE_KEY: i32 = 0;
    /// The source is a seed, from which each value derives a key.
    pub const SOURCE_SEED: i32 = 1;
}

/// Version 1 of the protocol, which calls itself v1beta1.
#[allow(missing_docs, reason = "the names are those of the protocol")]
pub mod v1 {
    use prost::Message;

    pub const API_VERSION: &str = "v1beta1";
    pub const SERVICE: &str = "v1beta1.KeyManagementService";
    pub const VERSION: &str = "/v1beta1.KeyManagementService/Version";
    pub const ENCRYPT: &str = "/v1beta1.KeyManagementService/Encrypt";
    pub const DECRYPT: &str = "/v1beta1.KeyManagementService/Decrypt";

    #[derive(Clone, PartialEq, Message)]
    pub struct VersionRequest {
        #[prost(string, tag = "1")]
        pub version: String,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct VersionResponse {
        #[prost(string, tag = "1")]
        pub version: String,
        #[prost(string, tag = "2")]
        pub runtime_name: String,
        #[prost(string, tag = "3")]
        pub runtime_version: String,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct DecryptRequest {
        #[prost(string, tag = "1")]
        pub version: String,
        #[prost(bytes = "vec", tag = "2")]
        pub cipher: Vec<u8>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct DecryptResponse {
        #[prost(bytes = "vec", tag = "1")]
        pub plain: Vec<u8>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct EncryptRequest {
        #[prost(string, tag = "1")]
        pub version: String,
        #[prost(bytes = "vec", tag = "2")]
        pub plain: Vec<u8>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct EncryptResponse {
        #[prost(bytes = "vec", tag = "1")]
        pub cipher: Vec<u8>,
    }
}
