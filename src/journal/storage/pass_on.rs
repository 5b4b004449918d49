//! Storages that stand before another one, and pass most calls on to it as they are.

/// Within an `impl Storage`: the named methods, each of which calls the same one of this field.
/// What stands there by name is all that is passed on: any other method is written out, or keeps
/// the trait's default. Whoever uses it imports the types of these methods' signatures.
macro_rules! pass_on {
    ($field:tt: $($method:ident)+) => {
        $(pass_on!(@ $field $method);)+
    };
    (@ $field:tt lock) => {
        fn lock(&self) -> ::std::io::Result<Box<dyn ::std::any::Any + Send + Sync>> {
            self.$field.lock()
        }
    };
    (@ $field:tt list) => {
        fn list(&self) -> ::std::io::Result<Vec<String>> {
            self.$field.list()
        }
    };
    (@ $field:tt read) => {
        fn read(&self, name: &str, offset: u64, length: u64) -> ::std::io::Result<Vec<u8>> {
            self.$field.read(name, offset, length)
        }
    };
    (@ $field:tt length) => {
        fn length(&self, name: &str) -> ::std::io::Result<u64> {
            self.$field.length(name)
        }
    };
    (@ $field:tt create) => {
        fn create(&self, name: &str) -> ::std::io::Result<::std::sync::Arc<dyn StorageFile>> {
            self.$field.create(name)
        }
    };
    (@ $field:tt rename) => {
        fn rename(&self, from: &str, to: &str) -> ::std::io::Result<()> {
            self.$field.rename(from, to)
        }
    };
    (@ $field:tt remove) => {
        fn remove(&self, name: &str) -> ::std::io::Result<()> {
            self.$field.remove(name)
        }
    };
    (@ $field:tt truncate) => {
        fn truncate(&self, name: &str, length: u64) -> ::std::io::Result<()> {
            self.$field.truncate(name, length)
        }
    };
    (@ $field:tt sync_directory) => {
        fn sync_directory(&self) -> ::std::io::Result<()> {
            self.$field.sync_directory()
        }
    };
    (@ $field:tt free_space) => {
        fn free_space(&self) -> Option<u64> {
            self.$field.free_space()
        }
    };
    (@ $field:tt identity) => {
        fn identity(&self, part: PlacePart<'_>) -> ::std::io::Result<Option<StorageIdentity>> {
            self.$field.identity(part)
        }
    };
    (@ $field:tt path) => {
        fn path(&self) -> Option<&::std::path::Path> {
            self.$field.path()
        }
    };
    (@ $field:tt network_file_system) => {
        fn network_file_system(&self) -> Option<&'static str> {
            self.$field.network_file_system()
        }
    };
    (@ $field:tt sign_lock) => {
        fn sign_lock(&self, opening: u64) -> ::std::io::Result<()> {
            self.$field.sign_lock(opening)
        }
    };
}

pub(crate) use pass_on;
