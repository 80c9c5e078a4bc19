use std::collections::BTreeMap;

use crate::make::{Entry, Kind, write_tar};
use crate::test_support::{describe, erofs, extract, is_root, merge, run, spool, spool_bytes, tree};
use crate::tree::{Node, Tree};

/// Paths of the merged layers; directories end in a slash, links show their target, files their layer.
fn paths(layers: &[&[Entry]]) -> Vec<String> {
    let (tree, _) = tree(layers);
    list(&tree)
}

fn list(tree: &Tree) -> Vec<String> {
    let mut out = Vec::new();
    let mut todo = vec![(Tree::ROOT, String::new())];
    while let Some((dir, path)) = todo.pop() {
        for (name, id) in tree.names(dir) {
            let path = format!("{path}{}", name.escape_ascii());
            match &tree.get(id).node {
                Node::Dir(_) => {
                    out.push(format!("{path}/"));
                    todo.push((id, format!("{path}/")));
                }
                Node::Symlink(target) => out.push(format!("{path}->{}", target.escape_ascii())),
                Node::File { layer, .. } => out.push(format!("{path}@{layer}")),
                _ => out.push(path),
            }
        }
    }
    out.sort();
    out
}

/// The text of the refusal, with the layer's digest as `L`.
fn refusal(layers: &[&[Entry]]) -> String {
    let spools: Vec<_> = layers.iter().map(|entries| spool(entries)).collect();
    let mut text = merge(&spools).expect_err("was not refused").to_string();
    for spool in &spools {
        text = text.replace(&spool.name, "L");
    }
    text
}

fn file(path: &str) -> Entry {
    Entry::file(path, "x")
}

#[test]
fn a_whiteout_hides_what_is_below_and_nothing_else() {
    let lower = [file("a/b"), file("a/c"), file("d/e/f")];
    assert_eq!(paths(&[&lower, &[file("a/.wh.b"), file("d/.wh.e")]]), ["a/", "a/c@0", "d/"]);
    assert_eq!(paths(&[&lower, &[file(".wh.missing"), file("no/such/.wh.dir")]]).len(), 6);
    assert_eq!(paths(&[&[file("a/b"), file("a/.wh.b")]]), ["a/", "a/b@0"]);
}

#[test]
fn a_whiteout_and_a_new_entry_of_its_name_may_come_in_either_order() {
    let lower = [file("a/old"), file("f")];
    let before = [file(".wh.a"), file("a/new"), file(".wh.f"), file("f")];
    let after = [file("a/new"), file(".wh.a"), file("f"), file(".wh.f")];
    assert_eq!(paths(&[&lower, &before]), ["a/", "a/new@1", "f@1"]);
    assert_eq!(paths(&[&lower, &after]), ["a/", "a/new@1", "f@1"]);
}

#[test]
fn a_directory_hidden_and_made_anew_has_nothing_of_the_old() {
    let lower = [Entry::dir("a").mode(0o700).owner(7, 7), file("a/x")];
    let (tree, _) = tree(&[&lower, &[file(".wh.a"), file("a/y")]]);
    assert_eq!(list(&tree), ["a/", "a/y@1"]);
    let (_, a) = tree.names(Tree::ROOT).next().unwrap();
    assert_eq!((tree.get(a).mode, tree.get(a).uid), (0o755, 0));
}

#[test]
fn an_opaque_directory_hides_the_lower_layers_names() {
    let lower = [file("a/b/c"), file("a/d")];
    let upper = [Entry::dir("a"), file("a/new"), file("a/.wh..wh..opq")];
    assert_eq!(paths(&[&lower, &upper]), ["a/", "a/new@1"]);
    assert_eq!(paths(&[&lower, &[file(".wh..wh..opq"), file("z")]]), ["z@1"]);
}

/// overlayfs marks a directory opaque that took a link's place; the link's target is not meant.
#[test]
fn an_opaque_directory_in_a_links_place_leaves_the_target_alone() {
    let lower = [file("usr/lib/x"), Entry::symlink("lib", "usr/lib")];
    let upper = [Entry::dir("lib"), file("lib/.wh..wh..opq"), file("lib/y")];
    assert_eq!(paths(&[&lower, &upper]), ["lib/", "lib/y@1", "usr/", "usr/lib/", "usr/lib/x@0"]);
}

#[test]
fn types_replace_each_other() {
    assert_eq!(paths(&[&[file("a")], &[Entry::dir("a"), file("a/b")]]), ["a/", "a/b@1"]);
    assert_eq!(paths(&[&[file("a/b/c")], &[file("a/b")]]), ["a/", "a/b@1"]);
    assert_eq!(paths(&[&[file("d/f"), Entry::symlink("l", "d")], &[Entry::dir("l")]]), ["d/", "d/f@0", "l/"]);
    assert_eq!(paths(&[&[file("d/f")], &[Entry::symlink("d", "/etc")]]), ["d->/etc"]);
}

#[test]
fn a_directory_over_a_directory_changes_its_attributes_only() {
    let (tree, _) = tree(&[&[Entry::dir("a"), file("a/f")], &[Entry::dir("a").mode(0o711).owner(1, 2).mtime(9, 0)]]);
    let (_, a) = tree.names(Tree::ROOT).next().unwrap();
    let inode = tree.get(a);
    assert_eq!((inode.mode, inode.uid, inode.gid, inode.mtime), (0o711, 1, 2, (9, 0)));
    assert_eq!(list(&tree), ["a/", "a/f@0"]);
}

#[test]
fn hard_links_share_an_inode_across_layers_and_part_when_one_is_replaced() {
    let lower = [file("a"), Entry::hard_link("b", "a")];
    let (tree, _) = tree(&[&lower, &[Entry::hard_link("d/c", "./b")], &[file("a")]]);
    assert_eq!(list(&tree), ["a@2", "b@0", "d/", "d/c@0"]);
    let find = |dir, name: &[u8]| tree.names(dir).find(|(n, _)| *n == name).unwrap().1;
    let d = find(Tree::ROOT, b"d");
    assert_eq!(find(Tree::ROOT, b"b"), find(d, b"c"));
}

#[test]
fn names_with_dots_and_doubled_slashes_mean_the_same() {
    assert_eq!(paths(&[&[Entry::dir("./"), file("./a//b/./c")]]), ["a/", "a/b/", "a/b/c@0"]);
    let (tree, _) = tree(&[&[Entry::dir("/").mode(0o711)]]);
    assert_eq!(tree.get(Tree::ROOT).mode, 0o711);
}

#[test]
fn a_relative_link_inside_the_image_is_followed_on_the_way() {
    let lower = [Entry::dir("usr/bin"), Entry::symlink("bin", "usr/bin"), Entry::symlink("usr/up", "../usr/./bin")];
    let upper = [file("bin/tool"), file("usr/up/other")];
    assert_eq!(
        paths(&[&lower, &upper]),
        ["bin->usr/bin", "usr/", "usr/bin/", "usr/bin/other@1", "usr/bin/tool@1", "usr/up->../usr/./bin"]
    );
}

#[test]
fn reaching_outside_is_refused_each_way_with_its_own_words() {
    let outside = |entries: &[Entry]| {
        let text = refusal(&[entries]);
        text.strip_prefix("layer L: entry ").unwrap_or_else(|| panic!("{text}")).to_owned()
    };
    let says = "reaches outside the image:";
    assert_eq!(outside(&[file("../evil")]), format!("\"../evil\" {says} the name contains \"..\""));
    assert_eq!(outside(&[file("a/../../evil")]), format!("\"a/../../evil\" {says} the name contains \"..\""));
    assert_eq!(outside(&[file("/etc/passwd")]), format!("\"/etc/passwd\" {says} the name is absolute"));
    assert_eq!(
        outside(&[Entry::symlink("out", "/etc"), file("out/passwd")]),
        format!("\"out/passwd\" {says} \"out\" on its way is a symbolic link to \"/etc\"")
    );
    assert_eq!(
        outside(&[Entry::symlink("up", "../.."), file("up/evil")]),
        format!("\"up/evil\" {says} a symbolic link on its way leads above the root")
    );
    assert_eq!(
        outside(&[Entry::hard_link("h", "../../etc/shadow")]),
        format!("\"h\" {says} it is a hard link to \"../../etc/shadow\": the name contains \"..\"")
    );
    assert_eq!(
        outside(&[Entry::hard_link("h", "/etc/shadow")]),
        format!("\"h\" {says} it is a hard link to \"/etc/shadow\": the name is absolute")
    );
    assert_eq!(
        outside(&[Entry::symlink("out", "/etc"), Entry::hard_link("h", "out/shadow")]),
        format!("\"h\" {says} it is a hard link to \"out/shadow\": \"out\" on its way is a symbolic link to \"/etc\"")
    );
    assert_eq!(
        outside(&[Entry::symlink("out", "/etc"), file("out/.wh.passwd")]),
        format!("\"out/.wh.passwd\" {says} \"out\" on its way is a symbolic link to \"/etc\"")
    );
    assert_eq!(outside(&[file("../.wh.x")]), format!("\"../.wh.x\" {says} the name contains \"..\""));
}

#[test]
fn a_link_in_a_lower_layer_does_not_help_an_upper_one_out() {
    let text = refusal(&[&[Entry::symlink("out", "/")], &[file("out/evil")]]);
    assert!(text.contains("entry \"out/evil\" reaches outside the image: \"out\" on its way"), "{text}");
}

#[test]
fn links_that_point_outside_are_content_as_long_as_nothing_goes_through_them() {
    assert_eq!(paths(&[&[Entry::symlink("a", "/etc"), Entry::symlink("b", "../../x")]]), ["a->/etc", "b->../../x"]);
}

#[test]
fn entries_that_cannot_be_are_refused() {
    let bad = |entries: &[Entry]| refusal(&[entries]).replace("layer L: entry ", "");
    assert_eq!(bad(&[file("a"), file("a/b")]), "\"a/b\": \"a\" on its way is not a directory");
    assert_eq!(bad(&[Entry::hard_link("h", "none")]), "\"h\": is a hard link to \"none\", which does not exist");
    assert_eq!(bad(&[Entry::dir("d"), Entry::hard_link("h", "d")]), "\"h\": is a hard link to \"d\", a directory");
    assert_eq!(bad(&[Entry::hard_link("h", ".")]), "\"h\": is a hard link to \".\", a directory");
    assert_eq!(bad(&[Entry::symlink("./", "x")]), "\"./\": is the root of the image, but not a directory");
    assert_eq!(bad(&[file(".wh.")]), "\".wh.\": is a whiteout of nothing");
    assert_eq!(bad(&[file(".wh...")]), "\".wh...\": is a whiteout of nothing");
    assert_eq!(bad(&[file(".wh.d/x")]), "\".wh.d/x\": lies in a whiteout");
    assert_eq!(bad(&[file(".wh..wh.plnk")]), "\".wh..wh.plnk\": a whiteout of the AUFS kind is not supported");
    assert_eq!(
        bad(&[Entry::symlink("a", "b"), Entry::symlink("b", "a"), file("a/x")]),
        "\"a/x\": more than 40 symbolic links on its way"
    );
    let deep = "d/".repeat(300) + "f";
    assert!(bad(&[file(&deep)]).ends_with("is more than 256 directories deep"));
    assert!(bad(&[file(&"n".repeat(256))]).ends_with("a part of its name is longer than 255 bytes"));
}

#[test]
fn attributes_that_cannot_be_kept_are_refused_by_name() {
    let text = refusal(&[&[file("f").xattr("trusted.overlay.redirect", "/x")]]);
    assert_eq!(text, "layer L: entry \"f\": extended attribute \"trusted.overlay.redirect\" is not supported");
    let text = refusal(&[&[file("f").xattr("user.big", vec![0; 65_536])]]);
    assert_eq!(text, "layer L: entry \"f\": the size of an extended attribute exceeds the limit of 65535");
}

#[test]
fn limits_on_entries_and_metadata_hold_over_all_layers() {
    let limits = crate::limits::Limits { max_entries: 3, ..Default::default() };
    let mut tree = Tree::new();
    let (one, two) = (spool(&[file("a"), file("b")]), spool(&[file("c"), file("d")]));
    let cancel = crate::progress::Cancel::default();
    tree.apply(0, &one, &limits, &cancel).unwrap();
    let text = tree.apply(1, &two, &limits, &cancel).unwrap_err().to_string();
    assert!(text.ends_with("the number of entries of all layers exceeds the limit of 3"), "{text}");
    let limits = crate::limits::Limits { max_metadata_bytes: 100, ..Default::default() };
    let many = spool(&[file(&"n".repeat(60)), file(&"m".repeat(60))]);
    let text = Tree::new().apply(0, &many, &limits, &cancel).unwrap_err().to_string();
    assert!(text.ends_with("the size of all names and attributes exceeds the limit of 100"), "{text}");
}

#[test]
fn cancelling_stops_it() {
    let cancel = crate::progress::Cancel::default();
    cancel.cancel();
    let error = Tree::new().apply(0, &spool(&[file("a")]), &Default::default(), &cancel).unwrap_err();
    assert!(matches!(error, crate::error::ErrorKind::Cancelled));
}

/// The same layers through umoci, an independent unpacker, must give the same tree.
#[test]
fn umoci_unpacks_the_same_tree() {
    use crate::make::{Compression, Image, Layer};
    if !is_root("comparing with umoci") {
        return;
    }
    let t = |entry: Entry| entry.mtime(1_600_000_000, 0);
    let lower = vec![
        t(Entry::dir(".")),
        t(Entry::dir("etc").mode(0o750).owner(3, 4)),
        t(Entry::file("etc/hosts", "127.0.0.1").mode(0o640)),
        t(Entry::file("gone", "x")),
        t(Entry::dir("opaque")),
        t(Entry::file("opaque/old", "x")),
        t(Entry::dir("d")),
        t(Entry::file("d/f", "x")),
        t(Entry::file("becomes-dir", "x")),
        t(Entry::symlink("link", "etc")),
        t(Entry::file("suid", "x").mode(0o4755)),
        t(Entry::new("pipe", 0o600, Kind::Fifo)),
        t(Entry::new("tty", 0o620, Kind::Char(4, 1)).owner(0, 5)),
        t(Entry::hard_link("hosts2", "etc/hosts")),
    ];
    let upper = vec![
        t(Entry::dir(".").mode(0o711)),
        t(Entry::file(".wh.gone", "")),
        t(Entry::dir("opaque")),
        t(Entry::file("opaque/.wh..wh..opq", "")),
        t(Entry::file("opaque/new", "y")),
        t(Entry::file("d", "now a file")),
        t(Entry::dir("becomes-dir")),
        t(Entry::file("becomes-dir/in", "z")),
        t(Entry::hard_link("hosts3", "hosts2")),
        t(Entry::file("suid", "replaced").owner(9, 9)),
    ];
    let layers = [&lower[..], &upper[..]];
    let dir = tempfile::tempdir().unwrap();
    let made = layers.map(|entries| Layer::new(entries, Compression::Gzip).unwrap());
    let layout = dir.path().join("layout");
    Image::new(made.to_vec(), &["/bin/true"]).write_layout(&layout, "t").unwrap();
    let bundle = dir.path().join("bundle");
    run("umoci", &["unpack", "--image", &format!("{}:t", layout.display()), bundle.to_str().unwrap()]);
    let theirs = describe(&bundle.join("rootfs"), false);
    let ours = extract(erofs(&layers).path());
    // umoci leaves the times of directories it later writes into, and those are then of now.
    let dirs_without_time = |lines: BTreeMap<String, String>| -> BTreeMap<String, String> {
        let cut = |line: String| match line.strip_prefix("dir ") {
            Some(rest) => format!("dir {}", rest.rsplit_once(' ').unwrap().0),
            None => line,
        };
        lines.into_iter().map(|(name, line)| (name, cut(line))).collect()
    };
    crate::test_support::assert_same(&dirs_without_time(theirs), &dirs_without_time(ours));
}

#[test]
fn a_tar_with_a_bad_header_leaves_the_tree_alone() {
    let mut tar = Vec::new();
    write_tar(&mut tar, &[file("a")]).unwrap();
    tar[3] ^= 0x40;
    let text = merge(&[spool_bytes(&tar)]).unwrap_err().to_string();
    assert!(text.contains("tar header at byte 0: checksum is"), "{text}");
}

/// umoci's own layers: the root is called "/", and a layer's tar ends without padding or end marker.
#[test]
fn layers_made_by_umoci_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let layout = format!("{}:t", at("layout"));
    std::fs::create_dir(at("in")).unwrap();
    std::fs::write(at("in/f"), "abc").unwrap();
    run("umoci", &["init", "--layout", &at("layout")]);
    run("umoci", &["new", "--image", &layout]);
    for args in [&["insert", &at("in"), "/"][..], &["insert", &at("in"), "/gone"], &["insert", "--whiteout", "/gone"]] {
        run("umoci", &[&[args[0], "--image", &layout], &args[1..]].concat());
    }
    let index: serde_json::Value = serde_json::from_slice(&std::fs::read(at("layout/index.json")).unwrap()).unwrap();
    let blob = |digest: &serde_json::Value| {
        let hex = digest.as_str().unwrap().split_once(':').unwrap().1.to_owned();
        std::fs::read(dir.path().join("layout/blobs/sha256").join(hex)).unwrap()
    };
    let manifest: serde_json::Value = serde_json::from_slice(&blob(&index["manifests"][0]["digest"])).unwrap();
    let untar = |layer: &serde_json::Value| {
        let mut tar = Vec::new();
        let gz = blob(&layer["digest"]);
        std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&gz[..]), &mut tar).unwrap();
        spool_bytes(&tar)
    };
    let spools: Vec<_> = manifest["layers"].as_array().unwrap().iter().map(untar).collect();
    assert_eq!(list(&merge(&spools).unwrap()), ["f@0"]);
}
