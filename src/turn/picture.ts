/** Whether bytes are a picture that models take: a whole PNG, JPEG, GIF or WebP, by what is in them and by no name. */
import { crc32 } from "node:zlib";

type PictureType = "image/png" | "image/jpeg" | "image/gif" | "image/webp";

/** undefined: no such picture, a part of one, or one too large to unpack. Whether its pixels unpack is left to the model's server. */
export function pictureType(bytes: Buffer): PictureType | undefined {
  if (isPng(bytes)) return "image/png";
  if (isJpeg(bytes)) return "image/jpeg";
  if (isGif(bytes)) return "image/gif";
  return isWebp(bytes) ? "image/webp" : undefined;
}

const PNG = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/** Chunks of length, type, data and checksum (PNG 1.2, 3.2): a header first, data, and the end. */
function isPng(bytes: Buffer): boolean {
  if (!bytes.subarray(0, PNG.length).equals(PNG)) return false;
  const seen = new Set<string>();
  for (let at = PNG.length; at + 12 <= bytes.length; ) {
    const end = at + 8 + bytes.readUInt32BE(at);
    if (end + 4 > bytes.length) return false;
    const type = bytes.toString("latin1", at + 4, at + 8);
    if (crc32(bytes.subarray(at + 4, end)) !== bytes.readUInt32BE(end)) return false;
    if (seen.size === 0 && (type !== "IHDR" || !hasSize(bytes.readUInt32BE(at + 8), bytes.readUInt32BE(at + 12)))) {
      return false;
    }
    seen.add(type);
    if (type === "IEND") return seen.has("IDAT");
    at = end + 4;
  }
  return false;
}

/** Segments up to the scan, one of them with the size (ITU T.81, B.1); then everything to the end mark. */
function isJpeg(bytes: Buffer): boolean {
  if (bytes[0] !== 0xff || bytes[1] !== 0xd8) return false;
  let isSized = false;
  for (let at = 2; at + 4 <= bytes.length && bytes[at] === 0xff; ) {
    const marker = bytes[at + 1] ?? 0;
    if (marker === 0xff) {
      at += 1;
      continue;
    }
    if (marker === 0xda) return isSized && bytes.lastIndexOf("\xff\xd9", undefined, "latin1") > at;
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    // A height of 0 is told behind the first scan (B.2.5).
    if (isFrame && at + 9 <= bytes.length)
      isSized = hasSize(bytes.readUInt16BE(at + 7), bytes.readUInt16BE(at + 5) || 1);
    at += 2 + bytes.readUInt16BE(at + 2);
  }
  return false;
}

/** Blocks after the screen's description, up to the trailer (GIF89a, appendix B); at least one is an image. */
function isGif(bytes: Buffer): boolean {
  if (!/^GIF8[79]a$/.test(bytes.toString("latin1", 0, 6)) || bytes.length < 13) return false;
  const tableAfter = (flags: number) => (flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0);
  let at = 13 + tableAfter(bytes[10] ?? 0);
  let hasImage = false;
  while (at < bytes.length) {
    const kind = bytes[at];
    if (kind === 0x3b) return hasImage;
    if (kind === 0x2c) {
      if (at + 10 > bytes.length) return false;
      hasImage ||= hasSize(bytes.readUInt16LE(at + 5), bytes.readUInt16LE(at + 7));
      at += 11 + tableAfter(bytes[at + 9] ?? 0);
    } else if (kind === 0x21) at += 2;
    else return false;
    for (let size = bytes[at]; size !== 0; size = bytes[at]) {
      if (size === undefined) return false;
      at += 1 + size;
    }
    at += 1;
  }
  return false;
}

/** A RIFF container that is all there, with an image in its first chunk. */
function isWebp(bytes: Buffer): boolean {
  if (bytes.length < 20 || bytes.toString("latin1", 0, 4) !== "RIFF") return false;
  if (bytes.toString("latin1", 8, 12) !== "WEBP" || bytes.readUInt32LE(4) + 8 > bytes.length) return false;
  const kind = bytes.toString("latin1", 12, 16);
  if (kind !== "VP8X") return kind === "VP8 " || kind === "VP8L";
  return bytes.length >= 30 && hasSize(bytes.readUIntLE(24, 3) + 1, bytes.readUIntLE(27, 3) + 1);
}

/** As stock Codex, which unpacks them: 512 MiB at four bytes each. */
const PIXELS_AT_MOST = 2 ** 27;

const hasSize = (width: number, height: number): boolean => width > 0 && height > 0 && width * height <= PIXELS_AT_MOST;
