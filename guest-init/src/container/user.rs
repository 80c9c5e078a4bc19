//! Who a process is: `user[:group]` looked up in the container's own files.

use super::text_file;
use crate::error::Error;

/// The result: numbers, and where the user lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Home directory.
    pub home: String,
}

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// Looks `user` up in the files of the root directory we are in.
pub fn resolve(container: &str, user: &str, additional: &[u32]) -> Result<Identity, Error> {
    resolve_in(container, user, additional, &text_file(PASSWD), &text_file(GROUP))
}

/// `passwd` and `group` are the files' texts, empty when there is none.
///
/// A number need not be in a file. A name must. Without a group the user's own groups are taken, as login does; with one
/// it is the only one beside `additional`.
pub fn resolve_in(
    container: &str,
    user: &str,
    additional: &[u32],
    passwd: &str,
    group: &str,
) -> Result<Identity, Error> {
    let (user, wanted_group) = match user.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|g| !g.is_empty())),
        None => (user, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let number = user.parse::<u32>().ok();
    let entry = entries(passwd, 7)
        .find(|e| e[0] == user)
        .or_else(|| number.and_then(|number| entries(passwd, 7).find(|e| e[2].parse() == Ok(number))));
    let bad = |what, name: &str, file| Error::BadUser { what, name: name.into(), file, container: container.into() };
    let (uid, gid, home, name) = match (&entry, number) {
        (Some(e), _) => {
            let uid = e[2].parse().map_err(|_| bad("user", user, PASSWD))?;
            let gid = e[3].parse().map_err(|_| bad("user", user, PASSWD))?;
            let home = if e[5].is_empty() { "/" } else { e[5] };
            (uid, gid, home, e[0])
        }
        (None, Some(number)) => (number, 0, "/", ""),
        (None, None) => return Err(bad("user", user, PASSWD)),
    };
    let mut groups = additional.to_vec();
    let gid = match wanted_group {
        Some(wanted) => entries(group, 4)
            .find(|e| e[0] == wanted)
            .and_then(|e| e[2].parse().ok())
            .or_else(|| wanted.parse().ok())
            .ok_or_else(|| bad("group", wanted, GROUP))?,
        None => {
            if !name.is_empty() {
                let member = entries(group, 4).filter(|e| e[3].split(',').any(|m| m == name));
                groups.extend(member.filter_map(|e| e[2].parse::<u32>().ok()));
            }
            gid
        }
    };
    groups.retain(|g| *g != gid);
    groups.sort_unstable();
    groups.dedup();
    Ok(Identity { uid, gid, groups, home: home.into() })
}

/// Lines of at least `fields` fields, which colons divide.
fn entries(text: &str, fields: usize) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split(':').collect::<Vec<_>>()).filter(move |entry| entry.len() >= fields)
}

#[cfg(test)]
mod tests;
