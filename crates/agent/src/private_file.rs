//! Files that only their owner may read: bounded reads that refuse open permissions, atomic writes with mode 0600.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use adit_domain::id::InstanceId;
use thiserror::Error;

/// Why a private file was not read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// Other users of this computer may read or change it.
    #[error("{path} can be read by other users of this computer (its mode is {mode:04o}); make it private: chmod 600 {path}", path = .path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is larger than it could sensibly be.
    #[error("{} is larger than {bytes_max} bytes", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The bound.
        bytes_max: u64,
    },
    /// It is not UTF-8.
    #[error("{} is not UTF-8 text", .path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{} cannot be read", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// The text of a private file; `None` if there is no such file.
///
/// # Errors
/// See [`ReadError`]. Permissions are checked on the opened file, so they cannot change in between.
pub fn read(path: &Path, bytes_max: u64) -> Result<Option<String>, ReadError> {
    let failed = |source| ReadError::Io { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    check_private(path, &file.metadata().map_err(failed)?)?;
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > bytes_max {
        return Err(ReadError::TooLarge { path: path.to_owned(), bytes_max });
    }
    String::from_utf8(bytes).map(Some).map_err(|_| ReadError::NotText { path: path.to_owned() })
}

/// Replaces the file, or makes it, in one step: a reader sees the old text or the new one, never a part. Folders that
/// are missing are made with mode 0700. A symbolic link stays, its target is replaced.
///
/// # Errors
/// What the operating system said. The old file is then as it was.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let staged = stage(&path, text)?;
    fs::rename(&staged, &path).inspect_err(|_| discard(&staged))?;
    sync_folder(&path)
}

/// Makes the file in one step unless there is one.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if there is one, or what the operating system said.
pub fn create(path: &Path, text: &str) -> io::Result<()> {
    let staged = stage(path, text)?;
    let linked = fs::hard_link(&staged, path);
    discard(&staged);
    match linked {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
        // A file system without links: not in one step, but still never over another one.
        Err(_) => write_new(path, text)?,
    }
    sync_folder(path)
}

/// Writes the text to a new private file beside `path`, down to the disk.
fn stage(path: &Path, text: &str) -> io::Result<PathBuf> {
    let folder = folder_of(path);
    make_folder(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let staged = folder.join(format!(".{name}.{}", InstanceId::new()));
    write_new(&staged, text)?;
    Ok(staged)
}

/// Writes a new private file down to the disk, or none.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    private_mode(&mut options);
    let mut file = options.open(path)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.inspect_err(|_| discard(path))
}

/// A staged file that is in the way only wastes space; there is nobody to tell.
fn discard(staged: &Path) {
    drop(fs::remove_file(staged));
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(unix)]
fn make_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

#[cfg(unix)]
fn private_mode(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600);
}

#[cfg(not(unix))]
fn private_mode(_options: &mut OpenOptions) {}

#[cfg(unix)]
fn check_private(path: &Path, metadata: &fs::Metadata) -> Result<(), ReadError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o7777;
    // The lower six bits are those of the group and of others.
    if mode.trailing_zeros() >= 6 { Ok(()) } else { Err(ReadError::TooOpen { path: path.to_owned(), mode }) }
}

/// Elsewhere the user's profile folder is private by its access list.
#[cfg(not(unix))]
fn check_private(_path: &Path, _metadata: &fs::Metadata) -> Result<(), ReadError> {
    Ok(())
}

#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::fs;
    use std::io;
    use std::os::unix::fs::PermissionsExt;

    use super::{ReadError, create, read, replace};

    fn mode(path: &std::path::Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn written_files_are_private_and_leave_nothing_beside_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/adit.toml");
        assert_eq!(read(&path, 100).unwrap(), None);
        replace(&path, "one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        replace(&path, "two").unwrap();
        assert_eq!(read(&path, 100).unwrap().as_deref(), Some("two"));
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn create_never_replaces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.key");
        create(&path, "one").unwrap();
        assert_eq!(create(&path, "two").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(read(&path, 100).unwrap().as_deref(), Some("one"));
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn open_permissions_are_refused_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("adit.toml");
        replace(&path, "").unwrap();
        for open in [0o640, 0o604, 0o620, 0o602, 0o610, 0o777] {
            fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
            let error = read(&path, 100).unwrap_err();
            assert!(matches!(&error, ReadError::TooOpen { mode, .. } if *mode == open), "{error}");
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(read(&path, 100).is_ok());
    }

    #[test]
    fn reads_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("adit.toml");
        replace(&path, "1234").unwrap();
        assert!(read(&path, 5).is_ok() && read(&path, 4).is_ok());
        assert!(matches!(read(&path, 3), Err(ReadError::TooLarge { bytes_max: 3, .. })));
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.toml"), folder.path().join("adit.toml"));
        replace(&real, "one").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        replace(&link, "two").unwrap();
        assert_eq!(fs::read_to_string(&real).unwrap(), "two");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }
}
