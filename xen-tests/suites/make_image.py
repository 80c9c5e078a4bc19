#!/usr/bin/env python3
"""Makes images for the suites, sound and hostile ones: an OCI layout or archive from a list of layers.

    make_image.py OUT SPEC.json        OUT ends in .oci (an archive) or is a folder (a layout)

SPEC: {"base": LAYOUT?, "layers": [[ENTRY...]...], "config": {...}, "fault": NAME?, "compress": "gzip"|"none"}
ENTRY: {"name", "type": "file|dir|link|symlink|char|fifo", "data", "target", "mode", "uid", "gid", "major", "minor", "xattrs"}
Faults: digest (a layer's bytes differ from their digest), truncated (a layer is cut short), diff_id (the config lies).
"""
import base64, gzip, hashlib, io, json, os, sys, tarfile

TYPES = {"file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "link": tarfile.LNKTYPE, "symlink": tarfile.SYMTYPE,
         "char": tarfile.CHRTYPE, "fifo": tarfile.FIFOTYPE}


def layer(entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for e in entries:
            info = tarfile.TarInfo(e["name"])
            info.type = TYPES[e.get("type", "file")]
            info.mode = int(e.get("mode", "755" if info.type == tarfile.DIRTYPE else "644"), 8)
            info.uid, info.gid = e.get("uid", 0), e.get("gid", 0)
            info.linkname = e.get("target", "")
            info.devmajor, info.devminor = e.get("major", 0), e.get("minor", 0)
            info.mtime = e.get("mtime", 1000000000)
            for name, value in e.get("xattrs", {}).items():
                info.pax_headers["SCHILY.xattr." + name] = base64.b64decode(value).decode("utf-8", "surrogateescape")
            data = e.get("data", "").encode() * e.get("times", 1)
            info.size = len(data) if info.type == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def main(out, spec):
    blobs, diff_ids, layers = {}, [], []

    def put(data):
        blobs[sha(data)] = data
        return {"digest": sha(data), "size": len(data)}

    if "base" in spec:
        root = spec["base"]
        read = lambda digest: open(os.path.join(root, "blobs", *digest.split(":")), "rb").read()
        index = json.load(open(os.path.join(root, "index.json")))
        name = "org.opencontainers.image.ref.name"
        chosen = [m for m in index["manifests"] if m.get("annotations", {}).get(name) == "base"][0]
        manifest = json.loads(read(chosen["digest"]))
        diff_ids += json.loads(read(manifest["config"]["digest"]))["rootfs"]["diff_ids"]
        for l in manifest["layers"]:
            put(read(l["digest"]))
            layers.append(l)
    for entries in spec.get("layers", []):
        tar = layer(entries)
        compressed = spec.get("compress", "gzip") == "gzip"
        diff_ids.append(sha(tar))
        d = put(gzip.compress(tar, mtime=0) if compressed else tar)
        layers.append({"mediaType": "application/vnd.oci.image.layer.v1.tar" + ("+gzip" if compressed else ""), **d})
    fault = spec.get("fault")
    if fault == "diff_id":
        diff_ids[-1] = "sha256:" + "0" * 64
    config = {"architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"], **spec.get("config", {})},
              "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    config = put(json.dumps(config).encode())
    manifest = put(json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                               "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **config}, "layers": layers}).encode())
    last = layers[-1]["digest"]
    if fault == "digest":
        blobs[last] = blobs[last][:-1] + bytes([blobs[last][-1] ^ 1])
    elif fault == "truncated":
        blobs[last] = blobs[last][: len(blobs[last]) // 2]
    files = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
             "index.json": json.dumps({"schemaVersion": 2, "manifests": [
                 {"mediaType": "application/vnd.oci.image.manifest.v1+json", **manifest,
                  "annotations": {"org.opencontainers.image.ref.name": "latest"}}]}).encode()}
    files.update({"blobs/" + d.replace(":", "/"): data for d, data in blobs.items()})
    if out.endswith(".oci"):
        with tarfile.open(out, "w") as tar:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    else:
        for name, data in files.items():
            path = os.path.join(out, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as f:
                f.write(data)


main(sys.argv[1], json.load(open(sys.argv[2])))
