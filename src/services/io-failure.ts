import { getSystemErrorName } from "node:util";

/** The texts that Rust's standard library has for the commonest errors, so that messages read as Codex's. */
const TEXTS: Readonly<Record<string, string>> = {
  EACCES: "Permission denied",
  EEXIST: "File exists",
  EISDIR: "Is a directory",
  ELOOP: "Too many levels of symbolic links",
  EMFILE: "Too many open files",
  ENAMETOOLONG: "File name too long",
  ENOENT: "No such file or directory",
  ENOSPC: "No space left on device",
  ENOTDIR: "Not a directory",
  ENOTEMPTY: "Directory not empty",
  EPERM: "Operation not permitted",
  EROFS: "Read-only file system",
};

/** The error code of a failed file operation, such as `ENOENT`. */
export function ioCode(error: unknown): string | undefined {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : undefined;
}

/** Whether nothing stands at the path: a file above it counts as nothing, too. */
export const isMissing = (error: unknown): boolean => {
  const code = ioCode(error);
  return code === "ENOENT" || code === "ENOTDIR";
};

/** Why a file operation failed, as `No such file or directory (os error 2)`. */
export function ioText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const errno = "errno" in error && typeof error.errno === "number" ? error.errno : undefined;
  if (errno === undefined || errno >= 0) return error.message;
  const name = ioCode(error) ?? getSystemErrorName(errno);
  return `${TEXTS[name] ?? name} (os error ${-errno})`;
}
