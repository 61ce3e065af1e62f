/** Imported before everything else: an older Node gets one clear line in place of what it would stumble on first. */
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 22 || (major === 22 && minor < 13)) {
  throw new Error(`skein needs Node 22.13 or newer; this is Node ${process.versions.node}`);
}
