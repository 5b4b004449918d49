//! The file of the secret under which customers are hashed.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rand::TryRng;
use rand::rngs::SysRng;

use crate::Failure;

/// The secret in a file, which is made if it does not exist.
pub(super) fn of(file: &Path) -> Result<[u8; 16], Failure> {
    let wrong = |problem: String| Failure::file(file, None, problem);
    match fs::read_to_string(file) {
        Ok(text) => parse(text.trim())
            .ok_or_else(|| wrong("it does not hold 32 hexadecimal digits".to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mut secret = [0; 16];
            SysRng
                .try_fill_bytes(&mut secret)
                .map_err(|error| Failure::run("the system has no random bytes", error))?;
            write(file, secret).map_err(|error| wrong(error.to_string()))?;
            Ok(secret)
        }
        Err(error) => Err(wrong(error.to_string())),
    }
}

fn parse(digits: &str) -> Option<[u8; 16]> {
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let whole = digits.len() == 32 && is_hex;
    let number = u128::from_str_radix(digits, 16).ok().filter(|_| whole)?;
    Some(number.to_be_bytes())
}

/// On the disk before it is used: what is counted under a secret that is lost counts for nobody.
fn write(file: &Path, secret: [u8; 16]) -> std::io::Result<()> {
    let mut made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    writeln!(made, "{:032x}", u128::from_be_bytes(secret))?;
    made.sync_all()?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once_and_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("secret");
        let made = of(&file).expect("a new one");
        assert_eq!(of(&file).expect("the same"), made);
        assert_ne!(made, [0; 16]);
        for wrong in
            ["", "0", "+0000000000000000000000000000000", "x0000000000000000000000000000000"]
        {
            fs::write(&file, wrong).expect("a file");
            assert!(of(&file).is_err(), "{wrong:?}");
        }
    }
}
